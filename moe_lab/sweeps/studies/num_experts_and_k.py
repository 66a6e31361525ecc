"""How many experts, and how many of them an image?"""

from __future__ import annotations

from moe_lab.sweeps.studies.study import Part, Question, Row, Study

GRID = [(experts, k) for experts in (2, 4, 8, 16, 32) for k in (1, 2, 4) if k <= experts]


def name(experts: int, k: int) -> str:
    return f"E = {experts}, k = {k}"


NUM_EXPERTS_AND_K = Study(
    "num_experts_and_k",
    "Number of experts, and of experts an image",
    "Experts of 64 hidden units on 10,000 training images of MNIST, 10 epochs, model=sparse; the "
    "best epoch is chosen on 2,500 other training images, the test images are read once; mean ± "
    "standard deviation over seeds.",
    (
        Part(
            "mnist",
            "Experts of 64 hidden units",
            "dataset=mnist dataset.fallback=null dataset.subset=12500 dataset.val_fraction=0.2 "
            "dataset.epochs=10 model=sparse expert.hidden=64",
            [
                Row(name(experts, k), f"model.num_experts={experts} router.top_k={k}")
                for experts, k in GRID
            ],
            [
                Question("Do 32 experts beat 8, one an image?", name(32, 1), name(8, 1)),
                Question("Do 32 experts beat 8, two an image?", name(32, 2), name(8, 2)),
                Question("Do two of 8 beat one?", name(8, 2), name(8, 1)),
                Question("Do four of 8 beat two?", name(8, 4), name(8, 2)),
            ],
        ),
    ),
)
