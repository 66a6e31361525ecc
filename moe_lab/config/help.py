"""The text of --help, written from the configuration files, so that it cannot fall behind them."""

from __future__ import annotations

from pathlib import Path

import yaml

from moe_lab.config.location import configuration_folder

GROUPS = {
    "model": "what answers: one network, or a mixture of experts",
    "router": "who is asked: how a mixture chooses experts for an image",
    "gate": "the network inside a router that scores the experts",
    "temperature": "what a router divides its logits by",
    "expert": "what each expert is",
    "combine": "how the experts' answers become one",
    "loss": "what is minimised, and what keeps experts in use",
    "modulation": "what iterative modulation moves",
    "feedback": "what iterative modulation looks at between two passes",
    "backbone": "what comes before router and experts",
    "dataset": "which images",
    "trainer": "which device, how long, which precision",
    "optimizer": "how weights are updated",
    "scheduler": "how the learning rate changes",
    "callbacks": "checkpoints, progress, health of the routers, early stopping",
    "logger": "dashboards beside the run directory",
    "experiment": "complete settings with a known result",
    "debug": "small runs that find mistakes",
    "search": "what -m hydra/sweeper=optuna varies; without it the file of the model",
}

COMMANDS = {
    "train": (
        ("python -m moe_lab.train", "a sparse mixture on MNIST"),
        ("python -m moe_lab.train model=sparse router.top_k=4", "four experts an image"),
        ("python -m moe_lab.train model=dense expert.hidden=512", "the baseline to beat"),
        ("python -m moe_lab.train router=softmax expert.dropout=0.1", "another router"),
        ("python -m moe_lab.train loss.terms.router_z.weight=1e-3", "another loss"),
        ("python -m moe_lab.train dataset=cifar10 backbone=conv", "colour pictures"),
        ("python -m moe_lab.train -m model=dense,standard,sparse seed=0,1,2", "a sweep: nine runs"),
        ("python -m moe_lab.train experiment=smoke", "does it work? in seconds"),
    ),
    "sweep": (
        ("python -m moe_lab sweep status outputs/sweeps/NAME", "how each job of a sweep stands"),
        ("python -m moe_lab sweep report outputs/sweeps/NAME", "its comparison again"),
    ),
    "audit": (
        ("python -m moe_lab audit", "the default composition"),
        ("python -m moe_lab audit model=standard router=softmax expert=mlp", "another one"),
    ),
    "eval": (
        ("python -m moe_lab eval run=outputs/RUN", "test accuracy of the best weights"),
        ("python -m moe_lab eval run=outputs/RUN split=val checkpoint=last", "another choice"),
    ),
    "analyze": (
        ("python -m moe_lab analyze run=outputs/RUN", "tables, figures and probes of the test"),
        ("python -m moe_lab analyze run=outputs/RUN split=val out=val", "other images, elsewhere"),
        ("python -m moe_lab analyze run=outputs/RUN probes=false plots=false", "tables alone"),
    ),
    "dashboard": (
        ("python -m moe_lab dashboard show", "the panels, without any network"),
        ("python -m moe_lab dashboard push entity=TEAM project=moe_lab", "a workspace, a report"),
    ),
    "match": (
        ("python -m moe_lab match", "the dense twin of the default mixture, by active FLOPs"),
        ("python -m moe_lab match router.top_k=4 budget=total_parameters", "by another budget"),
    ),
    "compare": (
        ("python -m moe_lab compare outputs/a outputs/b 'outputs/sweep/*'", "groups over seeds"),
        ("python -m moe_lab compare outputs/sweep baseline=dense out=tables", "and files"),
        ("python -m moe_lab compare outputs/sweep mcnemar=true", "image by image as well"),
    ),
    "report": (("python -m moe_lab report run=outputs/RUN", "writes outputs/RUN/report.html"),),
}
HEADINGS = {
    "match": "Size the dense network that costs what a mixture costs, and print its command.",
    "compare": "Compare runs: means over seeds with intervals, paired tests, costs, verdicts.",
    "audit": "Check that a composition keeps the promises of a mixture of experts, in seconds.",
    "sweep": "How the jobs of a sweep stand, and what came out of it.",
    "train": "Train a classifier on images and keep a record of it in a run directory.",
    "eval": "Evaluate a trained run again.",
    "analyze": "What a trained run does with each image, and which answers hang on its routing.",
    "dashboard": "Write the panels of W&B from one list: print them, or send them there.",
    "report": "Write the page about a run again, from the files in its run directory.",
}


def help_text(config_name: str) -> str:
    """What an entry point does, its groups or keys, and commands to copy."""
    folder = configuration_folder()
    width = max(len(command) for command, _ in COMMANDS[config_name])
    commands = [f"  {command:<{width}}  # {why}" for command, why in COMMANDS[config_name]]
    parts = [HEADINGS[config_name], "", "Commands to copy:", "", *commands, ""]
    composes = composes_groups(folder / f"{config_name}.yaml")
    if composes:
        parts += [
            "Groups (GROUP=OPTION), their options, and any key of an option as GROUP.KEY=VALUE:",
            "",
        ]
        for group, meaning in GROUPS.items():
            parts += [f"  {group:<13}{meaning}", f"               {', '.join(options(group))}"]
    parts += ["", "Other keys:" if composes else "Keys:", ""]
    parts += own_keys(folder / f"{config_name}.yaml")
    parts += [
        "",
        f"The whole configuration: python -m moe_lab.{config_name} --cfg job",
        "Folder of the configuration files, each key with its meaning: conf/",
    ]
    return "\n".join(parts)


def composes_groups(path: Path) -> bool:
    """Whether a main file is put together from groups, and not keys of its own alone."""
    defaults: list[object] = yaml.safe_load(path.read_text(encoding="utf-8"))["defaults"]
    return defaults != ["_self_"]


def options(group: str) -> list[str]:
    """The names that can be typed after GROUP=."""
    return sorted(path.stem for path in (configuration_folder() / group).glob("*.yaml"))


def own_keys(path: Path) -> list[str]:
    """A line for each key of the main file: name, default, meaning."""
    from moe_lab.config.rules import rules_in_file

    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    rules = rules_in_file(path)
    return [
        f"  {key:<16}{rule.meaning} ({rule.text}; {values[key]})" for key, rule in rules.items()
    ]
