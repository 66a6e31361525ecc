"""Gives back a trained model from its run directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf
from torch import Tensor

from moe_lab.config.trust import trusting
from moe_lab.errors import UserError
from moe_lab.training.build import build_classifier
from moe_lab.training.checkpoint_files import read_checkpoint
from moe_lab.training.classifier import Classifier
from moe_lab.training.recorded_files import understanding
from moe_lab.training.run_directory import RunDirectory

EXPORTED_WEIGHTS = "model.safetensors"  # in the folder that `moe-lab export` wrote


def load(
    run_dir: str | Path, checkpoint: str = "best", trust: str | Sequence[str] = ()
) -> Classifier:
    """The trained classifier of a run, in evaluation mode on the CPU.

    `classifier(images)` takes normalised images, `classifier.predict(images)` raw ones in any form.
    `trust` names packages of your own whose classes its configuration may build.
    Raises UserError where the run or its checkpoint cannot be read.
    """
    run = RunDirectory(run_dir)
    exported = run.path / EXPORTED_WEIGHTS
    if exported.is_file():
        run.config = run.path / "config.json"
    with trusting(trust):
        config = run.read_config()
        with understanding(run.config):
            classifier = build_classifier(OmegaConf.create(config))
    load_weights(classifier, exported if exported.is_file() else run.checkpoint(checkpoint))
    return classifier.eval()


def load_weights(classifier: Classifier, path: Path) -> None:
    """Put a checkpoint's weights into a classifier; the objective keeps its own state.

    What was minimised does not change an answer, so a run can still be read after losses changed.
    """
    state = read_safetensors(path) if path.name == EXPORTED_WEIGHTS else weights_of(path)
    kept = {name: value for name, value in state.items() if not name.startswith("objective.")}
    try:
        found = classifier.load_state_dict(kept, strict=False)
    except RuntimeError as error:
        raise unfit(path, str(error).splitlines()[-1].strip()) from None
    missing = [name for name in found.missing_keys if not name.startswith("objective.")]
    if missing or found.unexpected_keys:
        raise unfit(path, f"missing {missing[:3]}, unexpected {found.unexpected_keys[:3]}")


def weights_of(path: Path) -> dict[str, Tensor]:
    """The weights in a checkpoint."""
    state: dict[str, Tensor] = read_checkpoint(path)["state_dict"]
    return state


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The weights in an exported file."""
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        todo = 'pip install "moe_lab[export]"'
        raise UserError(f"{path} needs the package safetensors", todo=todo) from None
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path} cannot be read: {error}", "a complete file") from None


def unfit(path: Path, why: str) -> UserError:
    return UserError(
        f"the weights in {path} do not fit the model that config.yaml describes: {why}",
        "a run directory as training left it, of this version of moe_lab",
    )
