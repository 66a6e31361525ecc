"""Entries of the registry: what training records as it goes, and what a run has cost."""

from __future__ import annotations

from functools import partial

from moe_lab.metrics.description import Metric

of_training = partial(Metric, splits=("train",))
scheduled = partial(Metric, group="schedule")
spent = partial(Metric, group="cost")
watched = partial(Metric, group="health")

# fmt: off
TRAINING = (
    of_training(
        name="loss", label="loss of a step", unit="nats", better="lower", form=".4f",
        meaning="what is minimised: all terms with their weights, on the batch of a step",
        formula="sum_k weight_k term_k", panel="Loss of single steps", kept="min",
    ),
    of_training(
        name="epoch_loss", label="loss of an epoch", short="loss", unit="nats", better="lower",
        form=".4f",
        meaning="what is minimised, mean over the images of an epoch while the weights move",
        formula="mean over images sum_k weight_k term_k",
        panel="Loss", kept="min", shown=("epoch", "curves"),
    ),
    scheduled(
        name="learning_rate", label="learning rate", form=".3g",
        meaning="of the first group of weights, in the step before which it was recorded",
        formula="optimizer.lr times the factor of the scheduler", panel="Learning rate",
    ),
    scheduled(
        name="temperature", label="temperature", by_layer=True,
        meaning="what a router's logits are divided by; recorded where learned or scheduled",
        formula="p = softmax(logits / temperature)", source="Hinton, Vinyals and Dean 2015",
        panel="Temperature",
    ),
    Metric(
        name="epoch", label="epoch", unit="epochs", form="d", group="trainer",
        meaning="epochs that were complete before", formula="count from 0",
    ),
)

# After all others: any name is that of a loss term.
LOSS_TERMS = (
    scheduled(
        name="weight_{term}", label="weight of {term}", form=".4g",
        meaning="what {term} counts in the loss; recorded where it is learned or scheduled",
        formula="loss.terms.{term}.weight along its schedule, times its learned factor",
        source="learned: Kendall, Gal and Cipolla 2018", panel="Weights of loss terms",
    ),
    of_training(
        name="{term}", label="loss term {term}", better="lower", form=".4f", group="loss",
        meaning="loss term {term} on the batch of a step, without its weight",
        formula="see moe_lab/losses", panel="Loss terms, unweighted",
    ),
)

COST_METRICS = (
    spent(
        name="params_total", label="total parameters", unit="parameters", better="lower", form=",",
        meaning="learned numbers in the model", formula="sum of the sizes of all weights",
        shown=("summary",),
    ),
    spent(
        name="params_active", label="active parameters per image", unit="parameters", form=",",
        better="lower", meaning="of these, used on average when an image is evaluated",
        formula="total - unread - sum over layers and e (1 - used share_e) size_e",
        source="Jiang et al. 2024, section 2", shown=("summary",),
    ),
    spent(
        name="flops_per_image", label="FLOPs per image", unit="FLOPs", better="lower", form=",",
        meaning="floating-point operations of one prediction, counted while it runs",
        formula="2 per multiply-add; without element-wise work", shown=("summary",),
    ),
    spent(
        name="epochs", label="epochs", unit="epochs", form="d",
        meaning="completed passes over the training images", formula="count", shown=("summary",),
    ),
    spent(
        name="train_seconds", label="training time", unit="s", better="lower", form=".1f",
        meaning="time in training steps, without validation", formula="wall clock",
        shown=("summary",),
    ),
    spent(
        name="images_per_second", label="throughput", unit="images/s", better="higher", form=",.0f",
        meaning="training images over the time in training steps",
        formula="images / train_seconds", shown=("summary",),
    ),
    Metric(
        name="seed", label="seed", form="d", group="trainer", formula="the setting seed",
        meaning="decides initial weights, order of images, augmentation and noise",
    ),
    Metric(
        name="split_seed", label="split seed", form="d", group="trainer",
        formula="the setting dataset.split_seed",
        meaning="decides which images are held out and drawn",
    ),
)

# Lines of health.jsonl: of the last `window` training steps, with a value for each expert.
HEALTH = (
    watched(
        name="window", label="window", unit="steps", form="d", formula="callbacks.health.window",
        meaning="training steps that the numbers of a check are over",
    ),
    watched(
        name="share", label="load", unit="%", form=".1f",
        meaning="load of each expert: its share of all weight, each image counting once",
        formula="mean_b w_be / sum_i w_bi",
    ),
    watched(
        name="used_share", label="used on", unit="%", form=".1f",
        meaning="share of images on which each expert was computed", formula="mean_b [w_be != 0]",
    ),
    watched(
        name="entropy", label="usage entropy H_u", unit="bits",
        meaning="entropy of the shares of weight", formula="H(share)",
    ),
    watched(
        name="max_entropy", label="largest usage entropy", unit="bits",
        meaning="what equal shares have", formula="log2(E)",
    ),
    watched(
        name="dead", label="dead experts", unit="experts", form="d", better="lower",
        meaning="numbers of the experts with less than 1 % of a fair load",
        formula="{e: share_e < 0.01 / E}",
    ),
    watched(
        name="idle", label="idle", unit="steps", form="d", better="lower",
        meaning="training steps since each expert was last used", formula="count",
    ),
)
# fmt: on
