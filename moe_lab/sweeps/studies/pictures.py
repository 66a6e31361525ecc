"""Do experts in the body of a convolutional network help it to tell pictures apart?"""

from __future__ import annotations

from moe_lab.sweeps.studies.study import Part, Question, Row, Study

ROUTED = "routed convolutions (8 experts, 2 an image)"
DENSE = "two convolutions that every image sees"
PICTURES = Study(
    "pictures",
    "Routed convolutions against the same network without routing",
    "CIFAR-10, the recipe of experiment=cifar10_cpu; the best epoch is chosen on 5,000 training "
    "images that are held out, the 10,000 test images are read once; mean ± standard deviation "
    "over seeds.",
    (
        Part(
            "cifar10_cpu",
            "CIFAR-10 in ten epochs",
            "experiment=cifar10_cpu",
            [
                Row(ROUTED),
                Row(DENSE, "model.num_experts=2 router=uniform loss=task"),
            ],
            [Question("Does routing help at equal FLOPs?", ROUTED, DENSE)],
        ),
    ),
    seeds=3,
    quick="dataset.subset=2000 trainer.max_epochs=1",
)
