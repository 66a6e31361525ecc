"""Does more mutual information between experts and classes mean more accuracy?"""

from __future__ import annotations

from moe_lab.sweeps.studies.study import Part, Question, Relation, Row, Study

NOTHING = "cross-entropy alone"
PRESSURES = {
    NOTHING: "",
    "guided by labels, 0.1": "loss.terms.label_assignment.weight=0.1",
    "guided by labels, 0.5": "loss.terms.label_assignment.weight=0.5",
    "guided by labels, 2": "loss.terms.label_assignment.weight=2",
    "mutual information, 0.1": "loss.terms.mutual_information.weight=0.1",
    "mutual information, 0.5": "loss.terms.mutual_information.weight=0.5",
    "mutual information, 2": "loss.terms.mutual_information.weight=2",
    "alike images, 0.05": "loss.terms.sample_similarity.weight=0.05",
    "balance, 0.05": "loss.terms.switch_balance.weight=0.05",
    "balance, 0.5": "loss.terms.switch_balance.weight=0.5",
    "entropy up, 0.5": "loss.terms.entropy.weight=0.5 loss.terms.entropy.term.direction=maximise",
    "entropy down, 0.5": "loss.terms.entropy.weight=0.5",
    "competition": "loss=competition",
    "hash": "router=hash",
    "random": "router=random",
}
ROUTING = ("mutual_information", "mutual_information_null", "specialisation", "dead_experts")
RELATIONS = (
    Relation("Does more mutual information mean more accuracy?", "mutual_information"),
    Relation("Does more load variation mean less?", "load_cv"),
)


def part(name: str, title: str, top_k: int) -> Part:
    rows = [
        Row(key, typed if "router=" in typed else f"router=top_k {typed}")
        for key, typed in PRESSURES.items()
    ]
    return Part(
        name,
        title,
        "dataset=mnist dataset.fallback=null dataset.subset=12500 dataset.val_fraction=0.2 "
        f"dataset.epochs=10 model=sparse model.num_experts=10 router.top_k={top_k} "
        "loss=unbalanced expert.hidden=32 combine=probabilities",
        rows,
        [
            Question("Does guidance by labels help?", "guided by labels, 0.5", NOTHING),
            Question("Does more mutual information help?", "mutual information, 0.5", NOTHING),
            Question("Does a learned router beat hashing?", NOTHING, "hash"),
        ],
        columns=ROUTING,
        relations=RELATIONS,
    )


SPECIALISATION = Study(
    "specialisation",
    "Mutual information between experts and classes, and accuracy",
    "10 experts of 32 hidden units on 10,000 training images of MNIST, 10 epochs, one pressure on "
    "the router a row; the best epoch is chosen on 2,500 other training images, the test images "
    "are read once; mean ± standard deviation over seeds.",
    (
        part("top_1", "One of ten experts an image", 1),
        part("top_2", "Two of ten experts an image", 2),
    ),
)
