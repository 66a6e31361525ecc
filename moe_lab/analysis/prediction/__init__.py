"""Class probabilities and routing of any pictures, one row per image."""
