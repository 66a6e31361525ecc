"""The panels of a dashboard as data, and what builds a W&B workspace and a W&B report of them."""
