"""What a job leaves in the process that it ran in."""

from __future__ import annotations

import pytest
import torch

from moe_lab.training.sandbox import flushes_denormal, sandbox


@pytest.mark.parametrize("before", [False, True])
def test_small_numbers_are_what_they_were_before(before: bool) -> None:
    with sandbox():
        torch.set_flush_denormal(before)
        with sandbox():
            torch.set_flush_denormal(not before)
            assert flushes_denormal() is not before
        assert flushes_denormal() is before
