"""Which loss keeps a top-1 router alive, and what does it cost?"""

from __future__ import annotations

from moe_lab.sweeps.studies.study import Part, Question, Row, Study

TERMS = {
    "switch_balance": 0.05, "importance": 0.05, "variance": 0.05, "gini": 0.05,
    "kl_uniform": 0.05, "minimum_usage": 0.5, "entropy": 0.05, "mutual_information": 0.1,
    "router_z": 0.001, "diversity": 0.05, "sample_similarity": 0.01,
}  # fmt: skip
NOTHING = "cross-entropy alone"
LOSSES = Study(
    "losses",
    "One term at a time beside cross-entropy",
    "8 experts of 64 hidden units, one an image (router=top_k), 10,000 training images of MNIST, "
    "10 epochs; the best epoch is chosen on 2,500 other training images, the test images are read "
    "once; mean ± standard deviation over seeds.",
    (
        Part(
            "mnist",
            "top-1 of 8 experts",
            "dataset=mnist dataset.fallback=null dataset.subset=12500 dataset.val_fraction=0.2 "
            "dataset.epochs=10 model=sparse router=top_k router.top_k=1 loss=unbalanced "
            "expert.hidden=64",
            [Row(NOTHING), *(Row(n, f"loss.terms.{n}.weight={w}") for n, w in TERMS.items())],
            [Question(f"Does {name} help?", name, NOTHING) for name in TERMS],
        ),
    ),
)
