"""Sweeps: their jobs, what has become of each, how one goes on, and what all will cost."""
