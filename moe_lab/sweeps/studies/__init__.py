"""Questions with the runs that answer them: `python -m moe_lab study NAME`."""

from moe_lab.sweeps.studies.catalogue import STUDIES
from moe_lab.sweeps.studies.study import Part, Question, Row, Study

__all__ = ["STUDIES", "Part", "Question", "Row", "Study"]
