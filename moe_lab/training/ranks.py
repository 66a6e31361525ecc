"""Which process of a distributed run this is, before and after Lightning knows."""

from __future__ import annotations

import os

import numpy as np


def is_first_process() -> bool:
    """True in a run of one process and in the one that keeps the record of several."""
    return os.environ.get("RANK", "0") == "0"


def draw_apart(rank: int, seed: int, epoch: int) -> None:
    """Give each process but the first a noise of its own for an epoch.

    All are seeded alike, so that their weights are equal; with the same draws for different images
    afterwards, the noise of router and dropout would be correlated within a batch. A function of
    the epoch, it is the same in a run that goes on after one was stopped.
    """
    if rank == 0:
        return
    import torch

    state = np.random.SeedSequence((seed, rank, epoch)).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0]))
