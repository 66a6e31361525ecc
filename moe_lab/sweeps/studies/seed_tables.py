"""Published tables of small mixtures on MNIST, each beside ours on the same work.

What is published are single runs whose best epoch was chosen on the test images, or means of ten
such runs; ours are means over seeds whose epoch was chosen on other images.
"""

from __future__ import annotations

from moe_lab.sweeps.studies.iwmn import mixture
from moe_lab.sweeps.studies.study import Part, Question, Row, Study

MNIST = "dataset=mnist dataset.fallback=null"
ADAM = "optimizer=adam scheduler=constant"
CASES = ((1, 1, 93.49), (2, 1, 92.09), (4, 2, 94.44), (8, 2, 94.00), (16, 4, 94.37))
ITERATIONS = ((1, 92.70), (2, 93.01), (3, 93.19), (4, 93.50), (5, 93.60), (6, 93.35))
GATED = Part(
    "gated",
    "Mixtures and iterative modulation (10,000 images, 3 epochs, Adam at 0.001)",
    "experiment=iwmn_vs_moe",
    [
        *(Row(f"MoE, E = {e}, k = {k}", mixture(e, k), given) for e, k, given in CASES),
        *(
            Row(f"IWMN, iterations: {n}", f"model=iwmn loss=task model.num_iterations={n}", given)
            for n, given in ITERATIONS
        ),
    ],
    [
        Question("Do 16 experts beat one?", "MoE, E = 16, k = 4", "MoE, E = 1, k = 1"),
        Question("Do 16 experts beat 4?", "MoE, E = 16, k = 4", "MoE, E = 4, k = 2"),
        Question("Do five iterations beat one?", "IWMN, iterations: 5", "IWMN, iterations: 1"),
    ],
)


def grid_row(lr: float, hidden: int, published: float) -> Row:
    return Row(f"lr {lr:g}, {hidden} units", f"optimizer.lr={lr} expert.hidden={hidden}", published)


GRID = Part(
    "grid",
    "Learning rate and width of the same mixture (48,000 images, 5 epochs, E = 4, k = 2)",
    f"{MNIST} {ADAM} dataset.val_fraction=0.2 dataset.epochs=5 dataset.augment.shift=0 "
    f"{mixture(4, 2)}",
    [
        grid_row(0.001, 512, 97.65),
        grid_row(0.001, 256, 97.28),
        grid_row(0.001, 128, 97.16),
        grid_row(0.01, 512, 96.08),
        grid_row(0.0001, 512, 96.17),
    ],
    [
        Question("Do 512 units beat 256?", "lr 0.001, 512 units", "lr 0.001, 256 units"),
        Question("Do 256 units beat 128?", "lr 0.001, 256 units", "lr 0.001, 128 units"),
    ],
)
GUIDED = Part(
    "guided",
    "Ten experts, and labels that guide the gate (5 epochs, Adam at 0.001, batches of 256)",
    f"{MNIST} {ADAM} dataset.epochs=5 dataset.batch_size=256 dataset.augment.shift=0 "
    "trainer.gradient_clip_val=1 model=guided model.num_experts=10 expert.hidden=[256,128] "
    "expert.dropout=0.3 gate=mlp gate.hidden=256 temperature=learnable",
    [
        Row(
            "base",
            "loss=unbalanced loss.terms.entropy.weight=0.1 loss.terms.kl_uniform.weight=0.1",
            97.18,
        ),
        Row(
            "guided, published weights",
            "loss.terms.cross_entropy.weight=0.1 loss.terms.label_assignment.weight=0.7 "
            "loss.terms.label_assignment.term.form=binary loss.terms.entropy.weight=0.1",
            97.22,
        ),
        Row("guided, loss=guided"),
        Row("nothing but cross-entropy", "loss=unbalanced"),
    ],
    [
        Question("Does guidance beat the base?", "guided, published weights", "base"),
        Question("Does loss=guided beat no guidance?", "guided, loss=guided",
                 "nothing but cross-entropy"),
    ],
    columns=("mutual_information", "mutual_information_null"),
)  # fmt: skip
TEMPLATES = Part(
    "templates",
    "Four templates that came without results (10,000 images, 3 epochs, Adam at 0.001, batches "
    "of 32)",
    f"{MNIST} {ADAM} dataset.subset=12500 dataset.val_fraction=0.2 dataset.epochs=3 "
    "dataset.batch_size=32 dataset.augment.shift=0 optimizer.weight_decay=0.0001 "
    "trainer.gradient_clip_val=1",
    [
        Row("basic: 4 experts of 64 units", "model=standard model.num_experts=4 expert.hidden=64"),
        Row(
            "sparse: 4 of 16 experts of 128 units",
            "model=sparse model.num_experts=16 router.top_k=4 expert.hidden=128",
        ),
        Row(
            "hierarchical: 8 times 8 experts of 128 units",
            "model=hierarchical router.branching=[8,8] expert.hidden=128",
        ),
        Row(
            "large: 8 of 64 experts of 256 units",
            "model=sparse model.num_experts=64 router.top_k=8 expert.hidden=256",
        ),
        Row("one network, active FLOPs of basic", twin_of="basic: 4 experts of 64 units"),
        Row(
            "one network, active FLOPs of sparse", twin_of="sparse: 4 of 16 experts of 128 units"
        ),
    ],
    [
        Question("Basic, at equal FLOPs?", "basic: 4 experts of 64 units",
                 "one network, active FLOPs of basic"),
        Question("Sparse, at equal FLOPs?", "sparse: 4 of 16 experts of 128 units",
                 "one network, active FLOPs of sparse"),
    ],
)  # fmt: skip
TINY = "expert=conv expert.channels=1 expert.padding=0 expert.hidden=[5,32]"
TINY_GATE = "gate=conv gate.channels=1 gate.padding=0 gate.hidden=[128,32]"
IMPORTANCE = "loss.terms.importance.weight=0.2"
SIMILARITY = "loss.terms.sample_similarity.weight=0.2"
GATE = f"model=standard model.num_experts=5 {TINY} {TINY_GATE} combine=probabilities"
ATTENTIVE = (
    f"model=attentive model.num_experts=5 {TINY} gate@router.query=conv router.query.channels=1 "
    "router.query.padding=0 router.query.hidden=[128,32]"
)
# As many parameters as five experts and their gate: wider layers in one network of the same kind.
ONE_NETWORK = "expert=conv expert.padding=0 expert.channels=8 expert.hidden=[23,32]"
TINY_EXPERTS = Part(
    "tiny_experts",
    "Five tiny convolutional experts (50,000 images, 20 epochs, Adam at 0.001, batches of 512)",
    f"{MNIST} {ADAM} dataset.val_fraction=0.16667 dataset.epochs=20 dataset.batch_size=512 "
    "dataset.augment.shift=0 optimizer.weight_decay=0.001",
    [
        Row("one expert", f"model=dense {TINY}", 86.6),
        Row("gate", f"{GATE} loss=unbalanced", 95.57),
        Row("gate, importance", f"{GATE} loss=unbalanced {IMPORTANCE}", 96.52),
        Row("gate, alike images", f"{GATE} loss=unbalanced {SIMILARITY}", 96.26),
        Row("attentive", f"{ATTENTIVE} loss=unbalanced", 95.67),
        Row("attentive, importance", f"{ATTENTIVE} loss=unbalanced {IMPORTANCE}", 96.53),
        Row("attentive, alike images", f"{ATTENTIVE} loss=unbalanced {SIMILARITY}", 96.54),
        Row("one network, all parameters of the mixture", f"model=dense {ONE_NETWORK}"),
    ],
    [
        Question("Does importance help?", "gate, importance", "gate"),
        Question("Does it help to keep alike images together?", "gate, alike images", "gate"),
        Question("Does attention beat a gate?", "attentive", "gate"),
        Question("And with importance?", "attentive, importance", "gate, importance"),
        Question("At equal parameters?", "gate, importance",
                 "one network, all parameters of the mixture"),
    ],
    columns=("mutual_information", "mutual_information_null", "dead_experts"),
)  # fmt: skip
SEED_TABLES = Study(
    "seed_tables",
    "Published tables of small mixtures, on the same work",
    "The official files of MNIST; the best epoch is chosen on training images that are held out, "
    "the 10,000 test images are read once; mean ± standard deviation over seeds. Published: single "
    "runs chosen on the test images, of tiny experts means of ten runs.",
    (GATED, GRID, GUIDED, TEMPLATES, TINY_EXPERTS),
)
