"""One run made: what a command line asks for is built, trained, saved, resumed and tested."""
