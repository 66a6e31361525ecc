"""All studies by name; a new one is a file of its own and one entry here."""

from __future__ import annotations

from moe_lab.sweeps.studies.iwmn import IWMN
from moe_lab.sweeps.studies.losses import LOSSES
from moe_lab.sweeps.studies.moe_vs_dense import MOE_VS_DENSE
from moe_lab.sweeps.studies.num_experts_and_k import NUM_EXPERTS_AND_K
from moe_lab.sweeps.studies.pictures import PICTURES
from moe_lab.sweeps.studies.routers import ROUTERS
from moe_lab.sweeps.studies.seed_tables import SEED_TABLES
from moe_lab.sweeps.studies.specialisation import SPECIALISATION
from moe_lab.sweeps.studies.study import Study

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        SEED_TABLES,
        MOE_VS_DENSE,
        IWMN,
        ROUTERS,
        LOSSES,
        NUM_EXPERTS_AND_K,
        SPECIALISATION,
        PICTURES,
    )
}
