"""Does a mixture beat one network that costs the same, whichever way cost is counted?"""

from __future__ import annotations

from moe_lab.sweeps.studies.study import Part, Question, Row, Study

SPARSE, STANDARD = "sparse mixture (8 experts, 2 an image)", "dense mixture (8 experts, all)"
TWIN = "one network, {} of the {} mixture"


def rows(sparse: str, standard: str) -> list[Row]:
    """Both mixtures and their twins."""
    twins = [
        Row(TWIN.format(words, "sparse"), twin_of=SPARSE, budget=budget)
        for words, budget in (
            ("active FLOPs", "active_flops"),
            ("active parameters", "active_parameters"),
            ("all parameters", "total_parameters"),
        )
    ]
    return [
        Row(SPARSE, sparse),
        Row(STANDARD, standard),
        *twins,
        Row(TWIN.format("active FLOPs", "dense"), twin_of=STANDARD),
    ]


QUESTIONS = [
    Question(f"At equal {words}?", SPARSE, TWIN.format(words, "sparse"))
    for words in ("active FLOPs", "active parameters", "all parameters")
] + [
    Question("The dense mixture at equal FLOPs?", STANDARD, TWIN.format("active FLOPs", "dense")),
    Question("Does routing every image to two beat asking all eight?", SPARSE, STANDARD),
]
MNIST = Part(
    "mnist",
    "MNIST, default recipe, 5 epochs",
    "dataset=mnist dataset.fallback=null",
    rows("model=sparse", "model=standard"),
    QUESTIONS,
)
FEW = Part(
    "few_images",
    "1,000 images of MNIST, 60 epochs",
    "dataset=mnist dataset.fallback=null dataset.subset=1250 dataset.val_fraction=0.2 "
    "dataset.epochs=60",
    rows("model=sparse", "model=standard"),
    QUESTIONS,
)
MOE_VS_DENSE = Study(
    "moe_vs_dense",
    "Mixtures against one network of the same cost",
    "The best epoch is chosen on validation images, the 10,000 test images are read once; mean ± "
    "standard deviation over seeds. Twins are the widest network that does not cost more.",
    (MNIST, FEW),
)
