"""What a person reads of an analysis: a line an expert, a line a probe, and a sentence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table

from moe_lab.analysis.collected import LayerRecords, Records
from moe_lab.analysis.csv_files import (
    LEAST_IMAGES,
    expert_class_accuracy,
    expert_class_counts,
    weight_share,
)
from moe_lab.analysis.probes import Effect, RouterProbes

EXPERTS_ON_SCREEN = 32  # experts shown on the screen; the files have all
CLASSES_PER_EXPERT = 2  # classes shown of each expert
SURE = 0.01  # a p-value below this is no accident

NO_ROUTER = "Nobody is chosen for an image in this model, so there is no choice to probe."


def busiest_experts(name: str, records: Records, probes: RouterProbes | None) -> Table:
    """A line for each expert of a layer, the busiest first; shares and accuracies in %."""
    layer = records.layers[name]
    meanings = [
        "first: images it has the largest weight on; classes: theirs, in %",
        f"right: accuracy on them, of {LEAST_IMAGES} or more; weight: share of all weight; in %",
    ]
    table = Table(title=f"{name}: experts", title_justify="left", caption_justify="left")
    for heading in ("expert", "first", "weight"):
        table.add_column(heading, justify="right")
    table.add_column("classes")
    table.add_column("right", justify="right")
    if records.expert_log_probs is not None:
        table.add_column("alone", justify="right")
        meanings.append("alone: accuracy of its own predictions on all images, in %")
    if probes is not None:
        table.add_column("without", justify="right")
        table.add_column("hurts")
        meanings.append(f"without: what losing it does to accuracy, in points; * where p < {SURE}")
        meanings.append("hurts: the class that loses most by that")
    lines = expert_lines(layer, records, probes)
    for line in lines[:EXPERTS_ON_SCREEN]:
        table.add_row(*line)
    if len(lines) > EXPERTS_ON_SCREEN:
        meanings.insert(
            0, f"{len(lines) - EXPERTS_ON_SCREEN} experts with fewer images are left out."
        )
    table.caption = "\n".join(meanings)
    return table


def expert_lines(
    layer: LayerRecords, records: Records, probes: RouterProbes | None
) -> list[list[str]]:
    """The cells of each expert, the one with most images first."""
    counts = expert_class_counts(layer, records.target, len(records.class_names))  # [E, C]
    accuracy = np.nan_to_num(expert_class_accuracy(layer, records))  # [E, C]
    share = weight_share(layer).mean(0)  # [E]
    lines = []
    for expert in np.argsort(-counts.sum(1), kind="stable"):
        images, own = int(counts[expert].sum()), counts[expert]
        right = float((accuracy[expert] * own).sum()) / max(1, images)
        line = [str(expert), f"{images:,}", in_percent(share[expert]), classes_of(own, records)]
        line.append(in_percent(right) if images >= LEAST_IMAGES else "")
        if records.expert_log_probs is not None:
            predictions = records.expert_log_probs[:, expert].argmax(-1)
            line.append(in_percent(float((predictions == records.target).mean())))
        if probes is not None:
            effect = probes.knock_out[expert]
            star = " *" if effect.p_value < SURE else ""
            line += [f"{points(effect.change)}{star}", worst_class(effect, records)]
        lines.append(line)
    return lines


def classes_of(counts: NDArray[np.int64], records: Records) -> str:
    """The most frequent classes of an expert's images, from their numbers [C]."""
    order = np.argsort(-counts, kind="stable")[:CLASSES_PER_EXPERT]
    return ", ".join(
        f"{escape(records.class_names[index])} {100 * counts[index] / counts.sum():.0f}%"
        for index in order
        if counts[index]
    )


def worst_class(effect: Effect, records: Records) -> str:
    """The class that loses most, if any loses."""
    changes = np.nan_to_num(np.asarray(effect.change_by_class))
    worst = int(changes.argmin())
    return (
        f"{escape(records.class_names[worst])} {points(changes[worst])}"
        if changes[worst] < 0
        else ""
    )


def probe_table(name: str, probes: RouterProbes) -> Table:
    """A line for each kind of change to a router."""
    table = Table(title=f"{name}: predictions under a changed routing", title_justify="left")
    table.caption = "moved: predictions that change; lost, gained: correct ones less and more"
    table.caption_justify = "left"
    table.add_column("change")
    for heading in ("accuracy %", "points", "moved", "lost", "gained", "p"):
        table.add_column(heading, justify="right")
    before = probes.freeze.accuracy_before
    table.add_row("none", f"{100 * before:.2f}", *[""] * 5)
    for label, effects in probe_lines(probes):
        after = 100 * np.asarray([effect.accuracy_after for effect in effects])
        spread = f" ± {after.std(ddof=1):.2f}" if len(effects) > 1 else ""
        table.add_row(
            label,
            f"{after.mean():.2f}{spread}",
            f"{after.mean() - 100 * before:+.2f}",
            *(
                f"{np.mean([getattr(effect, field) for effect in effects]):,.0f}"
                for field in ("changed_predictions", "lost", "gained")
            ),
            p_value(max(effect.p_value for effect in effects)),
        )
    return table


def probe_lines(probes: RouterProbes) -> list[tuple[str, list[Effect]]]:
    """The changes of the table: of knock-outs and swaps the one that costs most."""
    found = [
        (f"trade routings x{len(probes.shuffle)}", probes.shuffle),
        ("mean routing", [probes.freeze]),
        ("drop top expert", [probes.drop_top]),
    ]
    worst = min(range(probes.num_experts), key=lambda e: probes.knock_out[e].accuracy_after)
    found.append((f"drop {worst} (worst)", [probes.knock_out[worst]]))
    if probes.swap:
        pair = min(probes.swap, key=lambda pair: probes.swap[pair].accuracy_after)
        label = f"swap {pair[0]}, {pair[1]} (worst)"
        found.append((label, [probes.swap[pair]]))
    return found


def probe_verdict(probes: RouterProbes) -> str:
    """In a sentence or two: does the choice of experts matter, and which of them?"""
    change = float(np.mean([effect.change for effect in probes.shuffle]))
    sure = all(effect.p_value < SURE for effect in probes.shuffle)
    if sure:
        does = "matters" if change < 0 else "does harm"
    else:
        does = "makes no difference that these images can show"
    # Bonferroni: one of E experts would otherwise look needed E times as often by accident.
    limit = SURE / probes.num_experts
    effects = list(enumerate(probes.knock_out))
    needed = [str(e) for e, effect in effects if effect.change < 0 and effect.p_value < limit]
    unmoved = [str(e) for e, effect in effects if effect.changed_predictions == 0]
    return (
        f"Who is asked {does}: with the routing of other images, accuracy changes by "
        f"{points(change)} points. Experts that are missed: {', '.join(needed) or 'none'}; experts "
        f"without which no prediction moves: {', '.join(unmoved) or 'none'}."
    )


def in_percent(share: float) -> str:
    """A share in %, without the sign."""
    return f"{100 * share:.1f}"


def points(change: float) -> str:
    """A change in accuracy in percentage points."""
    return f"{100 * change:+.2f}"


def p_value(value: float) -> str:
    """A p-value without digits that mean nothing."""
    return f"{value:.2g}" if value >= 1e-9 else "< 1e-9"
