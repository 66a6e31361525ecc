"""The tables of a comparison as data frames: numbers for machines, short texts for people."""

from __future__ import annotations

from typing import Any

import pandas as pd

from moe_lab.analysis.pareto import COSTS
from moe_lab.comparison.outcome import Comparison, Row
from moe_lab.comparison.verdict import Verdict, show_p


def group_numbers(comparison: Comparison) -> pd.DataFrame:
    """A row a group with full precision, its config_hash and its command."""
    return pd.DataFrame([_group_numbers(row, comparison.measure.key) for row in comparison.rows])


def _group_numbers(row: Row, key: str) -> dict[str, Any]:
    interval = row.estimate.interval
    return {
        "group": row.group.label,
        "config_hash": row.group.config_hash,
        "seeds": " ".join(str(seed) for seed, _ in row.group.draws),
        "split_seeds": " ".join(str(split_seed) for _, split_seed in row.group.draws),
        "n": row.estimate.n,
        f"{key}_mean": row.estimate.mean,
        f"{key}_sd": row.estimate.sd,
        f"{key}_low": interval and interval.low,
        f"{key}_high": interval and interval.high,
        "interval": interval.method if interval else row.estimate.note,
        **row.costs,
        **{f"pareto_{cost}": on_front for cost, on_front in row.fronts.items()},
        "command": row.group.command,
    }


def verdict_numbers(comparison: Comparison) -> pd.DataFrame:
    """A row a pair with full precision, every p value, and the sentence."""
    return pd.DataFrame([_verdict_numbers(verdict) for verdict in comparison.verdicts])


def _verdict_numbers(verdict: Verdict) -> dict[str, Any]:
    found = verdict.difference
    interval = found.interval
    return {
        "first": verdict.first.label,
        "second": verdict.second.label,
        "n_first": len(verdict.first.runs),
        "n_second": len(verdict.second.runs),
        "test": found.test or None,
        "difference": found.mean,
        "sd": found.sd,
        "low": interval and interval.low,
        "high": interval and interval.high,
        "p": found.p_value,
        "p_holm": verdict.p_adjusted,
        "p_sign_flip": found.sign_flip_p_value,
        "p_wilcoxon": found.wilcoxon_p_value,
        "mcnemar": mcnemar_numbers(verdict),
        "winner": verdict.winner.label if verdict.winner else None,
        "verdict": verdict.sentence,
    }


def mcnemar_numbers(verdict: Verdict) -> str | None:
    """SEED:P or SEED/SPLIT_SEED:P for each pair of runs."""
    found = {
        f"{seed}/{split_seed}" if split_seed else str(seed): matched.p_value
        for (seed, split_seed), matched in verdict.mcnemar.items()
    }
    return " ".join(f"{draw}:{p:.3g}" for draw, p in found.items()) or None


def group_texts(comparison: Comparison, commands: bool = True) -> pd.DataFrame:
    """A row a group, to be read; a star marks a cost at which no group is better."""
    measure = comparison.measure

    def texts(row: Row) -> dict[str, str]:
        found = row.estimate
        sd = f" ± {measure.show(found.sd)}" if found.sd is not None else ""
        shown = {
            "group": row.group.label,
            "seeds": str(found.n),
            measure.heading: measure.show(found.mean) + sd,
            f"{100 * comparison.level:g} % interval": measure.show_interval(found.interval) or "-",
            **{COSTS[key]: cost_text(row, key) for key in COSTS},
        }
        return shown | ({"command": row.group.command} if commands else {})

    return pd.DataFrame([texts(row) for row in comparison.rows])


def cost_text(row: Row, key: str) -> str:
    """A mean cost, with a star on the Pareto front."""
    value = row.costs[key]
    if value is None:
        return "-"
    shown = f"{value:.3g}" if value < 100 else f"{value:,.0f}"
    return f"{shown} *" if row.fronts[key] else shown


def pair_texts(comparison: Comparison) -> pd.DataFrame:
    """A row a pair, to be read: the difference and its p values."""
    measure = comparison.measure
    heading = f"difference, {measure.unit}" if measure.unit else "difference"

    def p_text(p: float | None) -> str:
        return "-" if p is None else show_p(p).removeprefix("p ").removeprefix("= ")

    return pd.DataFrame(
        {
            "first": verdict.first.label,
            "second": verdict.second.label,
            "seeds": seeds_text(verdict),
            "test": verdict.difference.test or "none",
            heading: measure.show(verdict.difference.mean),
            "interval": measure.show_interval(verdict.difference.interval) or "-",
            "p": p_text(verdict.difference.p_value),
            "Holm": p_text(verdict.p_adjusted),
            "sign flip": p_text(verdict.difference.sign_flip_p_value),
            "Wilcoxon": p_text(verdict.difference.wilcoxon_p_value),
        }
        for verdict in comparison.verdicts
    )


def seeds_text(verdict: Verdict) -> str:
    """How many pairs, or how many runs of each."""
    if verdict.difference.paired:
        return str(verdict.difference.n)
    return f"{len(verdict.first.runs)} and {len(verdict.second.runs)}"
