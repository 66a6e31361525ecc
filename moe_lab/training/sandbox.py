"""Keeps one job from changing the next job of the same process."""

from __future__ import annotations

import logging
import os
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from moe_lab.training.ranks import is_first_process


@contextmanager
def sandbox() -> Iterator[None]:
    """Restore environment variables, global switches of torch, random states and warning filters
    afterwards.

    Lightning leaves deterministic mode on, writes PL_GLOBAL_SEED, and W&B writes WANDB_*: without
    this the result of a sweep's job depends on the jobs before it.
    """
    environment = dict(os.environ)
    deterministic = torch.are_deterministic_algorithms_enabled()
    benchmark, precision = torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()
    cudnn_deterministic = torch.backends.cudnn.deterministic
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    threads = torch.get_num_threads()
    grad, flushes = torch.is_grad_enabled(), flushes_denormal()
    try:
        with warnings.catch_warnings():
            yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        torch.use_deterministic_algorithms(deterministic)
        torch.backends.cudnn.benchmark = benchmark
        torch.backends.cudnn.deterministic = cudnn_deterministic
        torch.set_float32_matmul_precision(precision)
        torch.set_num_threads(threads)
        torch.set_grad_enabled(grad)
        torch.set_flush_denormal(flushes)
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def flushes_denormal() -> bool:
    """Whether numbers too small for a full precision count as zero; torch can set it, not tell."""
    return bool((torch.tensor([1e-310], dtype=torch.float64) * 1.0).item() == 0.0)


@contextmanager
def at_work() -> Iterator[None]:
    """A sandbox in which Lightning keeps to itself what is no news to a user."""
    with sandbox():
        quieten_lightning()
        yield


def quieten_lightning() -> None:
    """Keep Lightning's remarks on hardware, its advertisements and pointless warnings off the
    screen.
    """
    warnings.filterwarnings("ignore", ".*exists and is not empty.*")  # a run that goes on
    warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", ".*treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", ".*sync_dist=True.*")  # every metric is over all processes
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    if not is_first_process():
        logging.getLogger("moe_lab").setLevel(logging.ERROR)
