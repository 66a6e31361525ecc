"""All studies by name; a new one is a file of its own and one entry here."""

from __future__ import annotations

from moe_lab.studies.iwmn import IWMN
from moe_lab.studies.study import Study

STUDIES: dict[str, Study] = {study.name: study for study in (IWMN,)}
