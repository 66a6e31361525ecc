"""Puts the runs of one configuration together over their seeds, and names the groups."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from moe_lab.comparison.found_runs import Group, LeftOut, Run, refuse_mixed_data
from moe_lab.comparison.recipe import (
    ABSENT_KEY,
    FILLED_IN,
    NOT_CHOSEN,
    SPLIT_SEED,
    Draw,
    Recipe,
    find_recipe,
    hydra_value,
    value_at,
    with_value,
)
from moe_lab.training.run_directory import RunDirectory, config_hash


def group_runs(runs: Sequence[Run]) -> tuple[list[Group], list[LeftOut]]:
    """One group a configuration, in the order of the runs; of two runs with the same seed and
    split seed the newer one counts.
    """
    refuse_mixed_data(runs)
    identities = identify(runs)
    found: dict[str, dict[Draw, Run]] = {identities[hash_of(run)]: {} for run in runs}
    left_out = []
    for run in sorted(runs, key=lambda run: RunDirectory(run.path).summary.stat().st_mtime):
        same = found[identities[hash_of(run)]]
        if run.draw in same:
            reason = f"the same configuration and seed as {run.path}, which is newer"
            left_out.append(LeftOut(same[run.draw].path, reason))
        same[run.draw] = run
    members = [tuple(same[draw] for draw in sorted(same)) for same in found.values()]
    order = [hash_of(group[0]) for group in members]
    records = [RunDirectory(group[0].path) for group in members]
    # Where the split seed varies within a group it is no part of what the group is.
    configs = [
        with_value(record.read_config(), SPLIT_SEED, 0)
        if len({run.draw[1] for run in group}) > 1
        else record.read_config()
        for record, group in zip(records, members, strict=True)
    ]
    recipes = [
        find_recipe(config, group[0].summary.get("choices", {}), typed_words(record))
        for config, group, record in zip(configs, members, records, strict=True)
    ]
    choices = [dict(group[0].summary.get("choices", {})) for group in members]
    labels = tell_apart(recipes, choices, configs, order)
    groups = [Group(*parts) for parts in zip(labels, order, members, recipes, strict=True)]
    return groups, left_out


def hash_of(run: Run) -> str:
    return str(run.summary["config_hash"])


def identify(runs: Sequence[Run]) -> dict[str, str]:
    """For each configuration hash, what it has in common with those that differ from it in the
    split seed alone.
    """
    firsts = {hash_of(run): run for run in reversed(runs)}
    return {own_hash: identity_of(run, own_hash) for own_hash, run in firsts.items()}


def identity_of(run: Run, own_hash: str) -> str:
    """The hash of the configuration without the split seed, and without the pixel statistics that
    follow from it; the own hash where this version counts other things.
    """
    record = RunDirectory(run.path)
    config = record.read_config()
    if config_hash(config) != own_hash:
        return own_hash
    typed = typed_words(record)
    measured = [key for key in FILLED_IN if not any(w.startswith(f"{key}=") for w in typed)]
    for key in (SPLIT_SEED, *measured):
        config = with_value(config, key, None)
    # Statistics that an option sets are not measured: other options make another configuration.
    choices = {k: v for k, v in run.summary.get("choices", {}).items() if k not in NOT_CHOSEN}
    return f"{config_hash(config)} {json.dumps(choices, sort_keys=True)}"


def typed_words(record: RunDirectory) -> list[str]:
    """The command line that a run was started with, empty where it is not known."""
    known = record.environment.is_file()
    return [str(word) for word in record.read_environment().get("command", [])] if known else []


def tell_apart(
    recipes: Sequence[Recipe],
    choices: Sequence[Mapping[str, Any]],
    configs: Sequence[Mapping[str, Any]],
    hashes: Sequence[str],
) -> list[str]:
    """A label for each configuration out of what differs between them."""
    keys = list(dict.fromkeys(key for recipe in recipes for key in recipe.overrides))
    keys.sort(key=lambda key: (key != "model", "." in key))

    def value(place: int, key: str) -> Any:
        if key in choices[place]:
            return choices[place][key]
        return recipes[place].overrides.get(key, value_at(configs[place], key))

    differing = [
        key
        for key in keys
        if any(value(place, key) != value(0, key) for place in range(1, len(recipes)))
    ]
    if len(recipes) == 1:
        differing = list(dict.fromkeys(["model", *keys]))
    labels = []
    for place, own_hash in enumerate(hashes):
        values = {key: value(place, key) for key in differing}
        words = [
            f"{key}={hydra_value(found)}"
            for key, found in values.items()
            if found is not ABSENT_KEY and not isinstance(found, Mapping)
        ]
        labels.append(" ".join(words) or own_hash)
    return [
        label if labels.count(label) == 1 else f"{label} ({own_hash})"
        for label, own_hash in zip(labels, hashes, strict=True)
    ]
