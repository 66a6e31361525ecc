"""A run directory may come from anybody: its configuration builds what is meant to be built."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import hydra.utils
import pytest
import yaml
from omegaconf import OmegaConf

import moe_lab
from moe_lab.__main__ import main
from moe_lab.config.instantiate import instantiate
from moe_lab.config.targets import judge, shipped_targets
from moe_lab.config.trust import trusting
from moe_lab.errors import ConfigError
from moe_lab.training.load_run import load
from tests.conftest import ROOT, Trained
from tests.training.harmful import NAMES, PLACES, harmful_nodes

# Built by Hydra's own `instantiate`, whose list of what it refuses does not hold them.
BUILT_BY_HYDRA = [
    "os.mkdir", "os.symlink", "builtins.open", "io.open", "gzip.open", "tarfile.open",
    "zipfile.ZipFile", "pathlib.Path.touch", "shutil.copyfile", "sympy.sympify", "sqlite3.connect",
    "logging.FileHandler", "numpy.savetxt", "torch.save", "urllib.request.urlretrieve",
    "hydra.utils.call", "joblib.dump", "moe_lab.data.cifar.os.mkdir",
    "moe_lab.training.run_directory.write_atomically",
]  # fmt: skip
OWN = """
import pathlib
from torch import nn

class Mine(nn.Linear):
    pass

def touched(marker):
    pathlib.Path(marker).touch()
    return nn.Identity()
"""


@pytest.fixture(scope="module")
def shared_run(trained_once: Trained) -> Path:
    return trained_once()


def with_node(run: Path, folder: Path, place: str, node: Any) -> Path:
    """A copy of a run's configuration and weights in which a node stands in some place."""
    folder.mkdir()
    for name in ("environment.json", "summary.json", "checkpoints"):
        (folder / name).symlink_to(run / name)
    config = OmegaConf.create(yaml.safe_load((run / "config.yaml").read_text()))
    OmegaConf.update(config, place, node, merge=False, force_add=True)
    content = OmegaConf.to_container(config, resolve=False)
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return folder


def test_there_are_sixty_harmful_targets() -> None:
    assert len(NAMES) >= 60


@pytest.mark.parametrize("name", BUILT_BY_HYDRA)
def test_hydra_alone_would_build_it(name: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    hydra.utils.instantiate(dict(harmful_nodes(str(marker))[name]))
    assert marker.is_symlink() or marker.exists()


@pytest.mark.parametrize(("name", "place"), zip(NAMES, cycle(PLACES)))
def test_evaluation_refuses_a_harmful_target(
    name: str, place: str, shared_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marker = tmp_path / "marker"
    node = harmful_nodes(str(marker))[name]
    given: Any = [dict(node)] if place.startswith("a list") else dict(node)
    run = with_node(shared_run, tmp_path / "run", PLACES[place], given)
    assert main(["eval", str(run)]) == 2
    said = capsys.readouterr().err
    assert not marker.exists()
    assert not marker.is_symlink()
    assert name in said
    assert "expected:" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("place", PLACES)
def test_no_place_in_a_configuration_is_open(place: str, shared_run: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for number, node in enumerate(
        (
            {"_target_": "os.mkdir", "path": str(marker)},
            {"_target_": "os.mkdir", "path": str(marker), "_partial_": True},
            {"deeper": [{"still": {"_target_": "os.mkdir", "path": str(marker)}}]},
            {"_target_": ["os.mkdir"]},
            {"_target_": None},
        )
    ):
        run = with_node(shared_run, tmp_path / f"run{number}", PLACES[place], node)
        with pytest.raises(ConfigError, match="_target_"):
            load(run)
    assert not marker.exists()


@pytest.mark.parametrize(
    "value",
    [
        "${oc.env:HOME}", "${oc.decode:'{_target_: os.mkdir}'}", "${seed}", r"\${seed}",
        "${hydra:runtime.cwd}", "${moe.product:${dataset.shape}}", "a ${oc.env:HOME} b",
    ],
)  # fmt: skip
def test_a_recorded_configuration_looks_nothing_up(
    value: str, shared_run: Path, tmp_path: Path
) -> None:
    run = with_node(shared_run, tmp_path / "run", "model.hidden_note", value)
    with pytest.raises(ConfigError, match=r"model\.hidden_note"):
        load(run)


def test_a_target_behind_a_reference_is_judged_by_where_it_leads(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    config = OmegaConf.create(
        {"name": "os.mkdir", "part": {"_target_": "${name}", "path": str(marker)}}
    )
    with pytest.raises(ConfigError, match=r"os\.mkdir"):
        instantiate(config.part)
    twice = {"_target_": "torch.nn.Identity", "a": "${oc.decode:'{_target_: os.mkdir}'}"}
    with pytest.raises(ConfigError, match="looked up"):
        instantiate(twice)
    assert not marker.exists()


def test_a_module_that_is_refused_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "surprise.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')\n")
    done = subprocess.run(
        [sys.executable, "-c", "from moe_lab.config.targets import judge\n"
         "print(judge('model._target_', 'surprise.Model'))"],
        cwd=tmp_path, env={"PYTHONPATH": f"{ROOT}:{tmp_path}"}, capture_output=True, text=True,
    )  # fmt: skip
    assert "trust=[surprise]" in done.stdout, done.stderr
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("target", sorted(shipped_targets()))
def test_every_target_that_the_files_name_may_be_built(target: str) -> None:
    assert judge("part._target_", target) is None


@pytest.mark.parametrize(
    ("target", "key"),
    [
        ("torch.nn.ReLU", "model"), ("torch.nn.modules.activation.GELU", "model"),
        ("torch.optim.SGD", "optimizer"), ("torch.optim.lr_scheduler.StepLR", "scheduler"),
        ("torchvision.models.resnet18", "model"), ("torchvision.models.ResNet", "model"),
        ("lightning.pytorch.callbacks.LearningRateMonitor", "callbacks"),
        ("lightning.pytorch.loggers.CSVLogger", "logger"), ("lightning.Trainer", "trainer"),
        ("moe_lab.models.combine.CombineLogits", "model"), ("moe_lab.routers.Router", "model"),
    ],
)  # fmt: skip
def test_the_libraries_may_be_built_from_in_their_place(target: str, key: str) -> None:
    assert judge("part._target_", target, key) is None


@pytest.mark.parametrize(
    ("target", "key"),
    [
        ("lightning.pytorch.loggers.CSVLogger", "model"), ("lightning.Trainer", "callbacks"),
        ("lightning.pytorch.callbacks.ModelCheckpoint", "model"),
        ("moe_lab.training.callbacks.checkpoint", "model"),
        ("moe_lab.training.loggers.wandb_logger", "callbacks"),
        ("torchvision.models.get_model", "model"), ("torch.nn.functional.relu", "model"),
        ("torch.nn.Module.forward", "model"), ("torch.nn.init.zeros_", "model"),
    ],
)  # fmt: skip
def test_what_stands_elsewhere_or_is_no_part_is_refused(target: str, key: str) -> None:
    assert judge("part._target_", target, key) is not None


def test_a_package_is_trusted_only_where_it_is_named(
    shared_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "surgeon.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    marker = tmp_path / "marker"
    node = {"_target_": "surgeon.touched", "marker": str(marker)}
    run = with_node(shared_run, tmp_path / "run", "model.backbone", node)
    with (run / "config.yaml").open("a") as file:
        file.write("trust: [surgeon]\n")  # in the run itself: that counts for nothing
    assert main(["eval", str(run)]) == 2
    assert "trust=[surgeon]" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="surgeon"):
        load(run, trust="another")
    assert not marker.exists()
    moe_lab.load(run, trust=["surgeon"])
    assert marker.exists()
    marker.unlink()
    main(["eval", str(run), "trust=[surgeon]"])  # whether its weights fit is another matter
    assert marker.exists()
    with pytest.raises(ConfigError, match="surgeon"):
        load(run)


def test_what_a_trusted_package_imports_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "surgeon2.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    with trusting("surgeon2"):
        assert judge("model._target_", "surgeon2.Mine") is None
        assert judge("model._target_", "surgeon2.pathlib.Path.touch") is not None
        assert judge("model._target_", "surgeon2.nn.Linear") is not None
    assert judge("model._target_", "surgeon2.Mine") is not None


def test_a_command_line_is_refused_before_torch_is_loaded() -> None:
    line = "from moe_lab.train import main\nimport sys\n"
    line += "print(main(['model._target_=os.mkdir', 'run_dir=never']), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["2", "False"], done.stderr
    assert "os.mkdir, which a configuration may not build" in done.stderr


def calls_of_hydra() -> Iterator[Path]:
    """The files of moe_lab that take something to build from Hydra."""
    taken = re.compile(r"from hydra\.utils import|hydra\.utils\.|_target_\W+locate")
    for path in (ROOT / "moe_lab").rglob("*.py"):
        if taken.search(path.read_text(encoding="utf-8")):
            yield path.relative_to(ROOT)


def test_there_is_one_door_to_hydra() -> None:
    assert [str(path) for path in calls_of_hydra()] == ["moe_lab/config/instantiate.py"]
