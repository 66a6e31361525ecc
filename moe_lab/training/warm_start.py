"""Starting from trained runs: continue, upcycle a dense run, merge several into one mixture,
freeze parts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from moe_lab.errors import ConfigError
from moe_lab.training.checkpoint_files import read_checkpoint
from moe_lab.training.run_directory import RunDirectory

StateDict = dict[str, Tensor]
ANYWHERE = ("experts", "router")  # parts that a routed layer inside a network has as well
# Experts kept as separate modules; those of a bank share a tensor whose first axis is E.
LISTED = re.compile(r"^(.*experts\.)(\d+)(\..*)$")


def start_from(
    model: nn.Module, runs: Sequence[str | Path], parts: Sequence[str], noise: float = 0.0
) -> int:
    """Copy `parts` of trained runs into a model; returns the number of tensors copied.

    One run of the same size is copied as it is. A run with one expert is copied to every expert
    (sparse upcycling, Komatsuzaki et al. 2023), with `noise` times each weight's own spread added
    so that copies can part ways. Several runs become the experts of one mixture, in their order.

    Parts are named by their path. `experts` and `router` are those of every routed layer, and the
    routers within a larger part, such as `blocks`, are only taken where `router` is named as well.
    """
    sources = [trained_state(run) for run in runs]
    target, learned = model.state_dict(), dict(model.named_parameters())
    copied = 0
    for part in parts:
        keys = [key for key in target if is_within(key, part) and not is_router_of(key, part)]
        # A part may exist and hold nothing to copy, like a backbone that only flattens.
        if not keys and part not in dict(model.named_modules()):
            raise ConfigError(
                f"init_parts names {part!r}, which this model does not have",
                f"parts of the model: {', '.join(part_names(model))}",
            )
        for key in keys:
            # Batch norm's statistics are no weights: with noise, a variance may fall below 0.
            own_noise = noise if key in learned else 0.0
            target[key] = value_for(key, target[key], sources, own_noise)
            copied += 1
    model.load_state_dict(target)
    return copied


def trained_state(run: str | Path) -> StateDict:
    """The best weights of a run, by their names inside the model."""
    directory = RunDirectory(run)
    directory.read_config()  # says clearly where this is no run
    state: StateDict = read_checkpoint(directory.checkpoint("best"))["state_dict"]
    return {k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")}


def value_for(key: str, wanted: Tensor, sources: Sequence[StateDict], noise: float) -> Tensor:
    """What a tensor of the model starts as; ConfigError where the runs hold nothing that fits."""
    listed = LISTED.match(key)
    if listed:
        return listed_expert(key, listed, wanted, sources, noise)
    found = [source[key] for source in sources if key in source]
    if len(found) < len(sources):
        raise misfit(key, wanted, None)
    if len(found) == 1 and found[0].shape == wanted.shape:
        return found[0]
    # Checked before the sameness of shapes below: two banks of one expert make a bank of two.
    is_bank = "experts" in key.split(".") and wanted.ndim > 0
    if is_bank and all(value.shape[1:] == wanted.shape[1:] for value in found):
        joined = torch.cat(found)
        if len(joined) == len(wanted):
            return joined
        if len(joined) == 1:
            return with_noise(joined.expand(wanted.shape).clone(), noise)
    same = all(torch.equal(value, found[0]) for value in found)
    if same and found[0].shape == wanted.shape:
        return found[0]
    raise misfit(key, wanted, found[0])


def listed_expert(
    key: str, match: re.Match[str], wanted: Tensor, sources: Sequence[StateDict], noise: float
) -> Tensor:
    """The same for experts that are separate modules, numbered through all runs."""
    before, number, after = match[1], int(match[2]), match[3]
    available: list[Tensor] = []
    for source in sources:
        own = sorted(
            (int(m[2]), name) for name in source if (m := LISTED.match(name)) and m[3] == after
        )
        available += [source[name] for _, name in own if name.startswith(before)]
    if len(available) == 1:
        return with_noise(fitting(key, wanted, available[0]).clone(), noise)
    if number < len(available):
        return fitting(key, wanted, available[number])
    raise misfit(key, wanted, None)


def fitting(key: str, wanted: Tensor, value: Tensor) -> Tensor:
    """The value, if its shape is the wanted one."""
    if value.shape != wanted.shape:
        raise misfit(key, wanted, value)
    return value


def with_noise(value: Tensor, noise: float) -> Tensor:
    """Copies of one expert with noise in proportion to the spread of their weights."""
    if noise <= 0 or not value.is_floating_point():
        return value
    return value + noise * value.std() * torch.randn_like(value)


def misfit(key: str, wanted: Tensor, found: Tensor | None) -> ConfigError:
    has = "nothing" if found is None else f"shape {list(found.shape)}"
    return ConfigError(
        f"init_from: {key} wants shape {list(wanted.shape)}, the runs hold {has} for it",
        "runs with the same backbone and kind of expert; experts in all as many as "
        "model.num_experts, or exactly one to copy",
        "choose other runs, sizes or init_parts",
    )


def freeze(model: nn.Module, parts: Sequence[str]) -> None:
    """Stop parts of a model from learning; ConfigError where a part does not exist."""
    for part in parts:
        chosen = [p for name, p in model.named_parameters() if is_within(name, part)]
        if not chosen:
            raise ConfigError(
                f"freeze names {part!r}, in which nothing learns",
                f"parts of the model: {', '.join(part_names(model))}",
            )
        for parameter in chosen:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigError(f"freeze={list(parts)} leaves nothing that learns")


def is_within(key: str, part: str) -> bool:
    """Whether a tensor belongs to a part of the model."""
    if part in ANYWHERE and f".{part}." in key:
        return True
    return f"{key}.".startswith(f"{part}.")


def is_router_of(key: str, part: str) -> bool:
    """Whether a tensor belongs to a router inside a part that is not itself a router."""
    return part != "router" and ".router." in key.removeprefix(part)


def part_names(model: nn.Module) -> list[str]:
    """The parts, and the parts of the parts, that hold parameters."""
    names = [name.split(".") for name, _ in model.named_parameters()]
    parts = {".".join(words[:depth]) for words in names for depth in (1, 2)}
    return sorted(parts | {part for words in names for part in ANYWHERE if part in words})
