"""Searches: which values make a model best on the validation images, found trial by trial."""
