"""Which router, and is it better than one that has learned nothing?"""

from __future__ import annotations

from moe_lab.sweeps.studies.study import Part, Question, Row, Study

CONTROLS = ("hash", "random", "uniform")
LEARNED = (
    "softmax", "top_k", "noisy_top_k", "expert_choice", "tree", "cosine", "sigmoid_balanced",
    "sinkhorn", "relu", "gumbel", "threshold", "attention", "entropy", "loss_predicting",
)  # fmt: skip
ROUTERS = Study(
    "routers",
    "All routers on one mixture, beside three that learn nothing",
    "8 experts of 64 hidden units on 10,000 training images of MNIST, 10 epochs, cross-entropy and "
    "balance terms as in loss=balanced; the best epoch is chosen on 2,500 other training images, "
    "the test images are read once; mean ± standard deviation over seeds.",
    (
        Part(
            "mnist",
            "8 experts of 64 hidden units",
            "dataset=mnist dataset.fallback=null dataset.subset=12500 dataset.val_fraction=0.2 "
            "dataset.epochs=10 model=standard loss=balanced expert.hidden=64",
            [Row(name, f"router={name}") for name in (*LEARNED, *CONTROLS)],
            [Question(f"Does {name} beat hashing?", name, "hash") for name in LEARNED],
        ),
    ),
)
