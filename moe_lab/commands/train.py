"""Train a classifier on images and keep a record of it in a run directory; with -m, a sweep."""

from __future__ import annotations

from collections.abc import Sequence

from moe_lab.config.launch import CommandUsage, read_line, with_exit_code
from moe_lab.sweeps.line import train_line

EXAMPLES = (
    ("moe-lab train", "a sparse mixture on MNIST"),
    ("moe-lab train model=sparse router.top_k=4", "four experts per image"),
    ("moe-lab train model=dense expert.hidden=512", "the baseline to beat"),
    ("moe-lab train router=softmax expert.dropout=0.1", "another router"),
    ("moe-lab train loss.terms.router_z.weight=1e-3", "another loss"),
    ("moe-lab train dataset=cifar10 backbone=conv", "colour pictures"),
    ("moe-lab train -m model=dense,standard,sparse seed=0,1,2", "a sweep: nine runs"),
    ("moe-lab train experiment=smoke", "does it work? in seconds"),
    ("moe-lab train --help router.top_k", "one key: rule, meaning, source"),
)


USAGE = CommandUsage("train", __doc__, examples=EXAMPLES)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 a job failed, 2 a wrong command line, 130 or 143 stopped by a
    signal.
    """
    return with_exit_code("train", lambda: train_line(read_line(USAGE, arguments)))
