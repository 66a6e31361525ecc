"""The registry of metrics: every quantity that runs record, and what a recorded name means.

Console, report, dashboards, comparisons and the catalogue in this folder's README read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from moe_lab.metrics.description import FAMILIES, OF_SPLIT, Metric, Place
from moe_lab.metrics.entries import further_entries
from moe_lab.metrics.entries.evaluated import EVALUATION
from moe_lab.metrics.entries.recorded import COST_METRICS, HEALTH, LOSS_TERMS, TRAINING

# The order of tables; the first entry that matches a name describes it. Loss terms come last,
# because a term may have any name.
METRICS: tuple[Metric, ...] = (
    *TRAINING, *EVALUATION, *further_entries(), *COST_METRICS, *LOSS_TERMS,
)  # fmt: skip
STEP_TAG = "trainer/global_step"  # optimizer steps; what Lightning calls them on W&B
SPLIT_WORDS = {"train": "training", "val": "validation", "test": "test", "": ""}


@dataclass(frozen=True)
class Recorded:
    """One recorded name, such as `val_block_1_load_cv`, taken apart."""

    key: str
    metric: Metric
    split: str  # train, val, test, or empty
    layer: str  # empty where a model has but one router, or the metric is not of a router
    index: str  # of a family: the number of the expert or pass, the name of the term

    @property
    def label(self) -> str:
        """What tables call it: `validation load variation, block_1`."""
        words = (self.split_name, self.fill(self.metric.label))
        return " ".join(filter(None, words)) + (f", {self.layer}" if self.layer else "")

    @property
    def short(self) -> str:
        """The heading of a narrow column of numbers: `val acc`."""
        split = self.split if self.metric.group == OF_SPLIT else ""
        return " ".join(filter(None, (split, self.metric.short or self.metric.label)))

    @property
    def split_name(self) -> str:
        """`training`, `validation`, `test`, or nothing where that goes without saying."""
        return "" if self.metric.group == "loss" else SPLIT_WORDS[self.split]

    @property
    def title(self) -> str:
        """The same as a heading: `Validation load variation, block_1`."""
        return f"{self.label[:1].upper()}{self.label[1:]}"

    @property
    def meaning(self) -> str:
        """A sentence, with the split in front."""
        return ": ".join(filter(None, (self.split_name, self.fill(self.metric.meaning))))

    @property
    def tag(self) -> str:
        """Its name on dashboards: `val/accuracy`, `router/load_cv`, `router/block_1/load_cv`."""
        folder = self.metric.group
        if self.split == "test" or folder == OF_SPLIT:
            folder = self.split or "test"  # without a split: what the tested weights came to
        return "/".join(filter(None, (folder, self.layer, self.fill(self.metric.name))))

    def fill(self, text: str) -> str:
        """A text of the metric with the number or the name in its place."""
        family = self.metric.family
        return text.replace(f"{{{family}}}", self.index) if family else text


@cache
def find(key: str) -> Recorded | None:
    """What a recorded name means; None for one that no entry describes."""
    for metric in METRICS:
        match = metric.pattern.fullmatch(key)
        if match:
            found = match.groupdict(default="")
            return Recorded(
                key, metric, found["split"].removesuffix("_"),
                found.get("layer", ""), found.get("index", ""),
            )  # fmt: skip
    return None


def lookup(key: str) -> Recorded:
    """The same for a name that is known; KeyError for another."""
    found = find(key)
    if found is None:
        raise KeyError(f"no entry of moe_lab.metrics.registry describes {key!r}")
    return found


def tag_of(key: str) -> str:
    """The name on dashboards; a name that no entry describes stays as it is."""
    found = find(key)
    return found.tag if found else key


def over_training(metric: Metric) -> list[Recorded]:
    """What is recorded of a metric while a model learns; the tag of a family is a pattern."""
    splits: list[str] = [split for split in metric.splits if split in ("train", "val")]
    index = FAMILIES[metric.family] if metric.family else ""
    return [Recorded("", metric, split, "", index) for split in splits or [""]]


def kept_values() -> dict[str, str]:
    """By tag, which value of a run its summary on a dashboard keeps beside the last one: the best,
    or of a load the worst.
    """
    return {r.tag: m.kept for m in METRICS if m.kept for r in over_training(m)}


def costs() -> dict[str, str]:
    """What a run costs, by the name in its summary, with the heading of its column."""
    return {m.name: m.heading for m in METRICS if m.group == "cost" and m.better == "lower"}


def shown_in(place: Place, record: Mapping[str, object]) -> Iterator[Recorded]:
    """What of a record is shown at a place, in the order of the registry."""
    found = [known for key in record if (known := find(key)) and place in known.metric.shown]
    order = list(SPLIT_WORDS)
    yield from sorted(found, key=lambda k: (METRICS.index(k.metric), order.index(k.split)))


def layers_in(record: Mapping[str, object]) -> list[str]:
    """The routed layers that a summary has numbers of, in its order; "" where there is only one."""
    named = (find(key) for key in record)
    return list(dict.fromkeys(k.layer for k in named if k and k.metric.by_layer and not k.split))


def catalogue() -> str:
    """The tables of README.md in this folder, one for each group."""
    groups: dict[str, list[Metric]] = {}
    for metric in (*METRICS, *HEALTH):
        groups.setdefault(metric.group, []).append(metric)
    return "\n\n".join(f"## `{group}/`\n\n{table(rows)}" for group, rows in groups.items())


def table(metrics: list[Metric]) -> str:
    """A line a metric, in Markdown."""
    head = ("name", "splits", "unit", "better", "meaning", "formula", "source")
    rows = [
        (f"`{m.name}`", " ".join(m.splits).strip(), m.unit, m.better, m.meaning, f"`{m.formula}`",
         m.source)
        for m in metrics
    ]  # fmt: skip
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


if __name__ == "__main__":
    print(catalogue())
