"""Nodes of a configuration that do harm where they are built: each leaves a file behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Node = Mapping[str, Any]
PATH = "pathlib.Path"


def harmful_nodes(marker: str) -> dict[str, Node]:
    """By name of the target; those that Hydra itself builds would leave `marker` behind."""
    touch, python = f"open({marker!r}, 'w')", f"import pathlib; pathlib.Path({marker!r}).touch()"
    path = {"_target_": PATH, "_args_": [marker]}
    hostname = "file:///etc/hostname"
    arguments: dict[str, list[Any]] = {
        **{f"os.{name}": [f"touch {marker}"] for name in ("system", "popen")},
        **{f"os.{name}": [marker] for name in ("mkdir", "makedirs", "mkfifo")},
        "os.symlink": ["/", marker],
        "posix.system": [f"touch {marker}"],
        **{f"subprocess.{name}": [["touch", marker]] for name in ("run", "call", "Popen")},
        "builtins.eval": [touch],
        "builtins.exec": [python],
        **{
            f"{module}.open": [marker, "w"]
            for module in ("builtins", "io", "codecs", "bz2", "lzma", "gzip", "tarfile")
        },
        "zipfile.ZipFile": [marker, "w"],
        "pathlib.Path.touch": [path],
        "pathlib.Path.mkdir": [path],
        "shutil.copyfile": ["/etc/hostname", marker],
        "shutil.copytree": ["/etc/ssl", marker],
        "sympy.sympify": [touch],
        "sympy.parsing.sympy_parser.parse_expr": [touch],
        **{f"{name}.run": [python] for name in ("pdb", "cProfile", "profile")},
        "timeit.timeit": [python],
        "logging.FileHandler": [marker],
        "sqlite3.connect": [marker],
        "numpy.savetxt": [marker, [1]],
        "numpy.memmap": [marker, "uint8", "w+", 0, [1]],
        "torch.save": [1, marker],
        "torch.hub.download_url_to_file": [hostname, marker, None, False],
        "urllib.request.urlretrieve": [hostname, marker],
        "hydra.utils.call": [{"_target_": "pathlib.Path.touch", "self": path}],
        "hydra.utils.instantiate": [{"_target_": "pathlib.Path.touch", "self": path}],
        "hydra.utils.get_method": ["os.mkdir"],
        "hydra.utils.get_class": ["subprocess.Popen"],
        "functools.partial": [{"_target_": "hydra.utils.get_method", "path": "os.mkdir"}, marker],
        "pandas.io.common.get_handle": [marker, "w"],
        "joblib.dump": [1, marker],
        "yaml.unsafe_load": [f"!!python/object/apply:os.mkdir [{marker}]"],
        "torch.nn.modules.module.os.system": [f"touch {marker}"],
        "torch.optim.os": [],
        "moe_lab.outputs.torch.load": [marker],
        "moe_lab.data.cifar.os.mkdir": [marker],
        "moe_lab.data.cifar.shutil.copyfile": ["/etc/hostname", marker],
        "moe_lab.data.mnist.gzip.open": [marker, "w"],
        "moe_lab.training.status.clear": [path],
        "moe_lab.training.run_directory.write_atomically": [path, ""],
        "moe_lab.training.run_directory.os.mkdir": [marker],
        "moe_lab.sweeps.jobs.write_record": [path, []],
        "moe_lab.config.instantiate.instantiate": [{"_target_": "os.mkdir", "path": marker}],
        "moe_lab.config.instantiate.build_by_hydra": [{"_target_": "os.mkdir", "path": marker}],
        "moe_lab.train.main": [[f"run_dir={marker}"]],
        "lightning.pytorch.callbacks.model_checkpoint.shutil.copyfile": ["/etc/hostname", marker],
        "lightning.pytorch.loggers.csv_logs.os.makedirs": [marker],
        "lightning.pytorch.core.saving.save_hparams_to_yaml": [marker, {}],
        "lightning.fabric.utilities.cloud_io._atomic_save": [{}, marker],
        "torchvision.datasets.utils.download_url": [hostname, marker],
        "torchvision.models._api.load_state_dict_from_url": [hostname, marker],
    }
    return {name: {"_target_": name, "_args_": given} for name, given in arguments.items()}


NAMES = sorted(harmful_nodes("marker"))
# Each of these ways into a configuration must be closed; `harmful` takes the place of a part.
PLACES = {
    "the model": "model",
    "a part of the model": "model.router",
    "a loss term": "loss.terms.harmful.term",
    "the data": "dataset.source",
    "the trainer": "trainer",
    "a list in the trainer": "trainer.plugins",
    "a callback": "callbacks.harmful",
    "a logger": "logger.harmful",
    "the optimizer": "optimizer",
    "a key that nothing reads": "harmful",
}
