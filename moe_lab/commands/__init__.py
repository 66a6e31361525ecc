"""What can be typed: `moe-lab NAME` reads conf/NAME.yaml and calls `main` of commands/NAME.py."""
