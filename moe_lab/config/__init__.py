"""Everything between the command line and a checked configuration; imports neither torch nor
lightning.
"""
