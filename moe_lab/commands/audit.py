"""Check that a composition keeps the promises of a mixture of experts, in seconds."""

from __future__ import annotations

from moe_lab.config.compose import Composition
from moe_lab.config.launch import Command, CommandUsage


def audit_composition(job: Composition) -> int:
    """Print a line per check; 1 where one failed."""
    from moe_lab.analysis.audit import audit, compose_subject
    from moe_lab.analysis.audit.screen import print_verdicts
    from moe_lab.training.sandbox import at_work

    with at_work():
        verdicts = audit(compose_subject(job.config))
    print_verdicts(verdicts)
    return int(any(verdict.passed is False for verdict in verdicts))


main = Command(
    CommandUsage(
        "audit",
        __doc__,
        examples=(
            ("moe-lab audit", "the default composition"),
            ("moe-lab audit model=standard router=softmax expert=mlp", "another one"),
        ),
    ),
    audit_composition,
)
