"""Gives back a trained model from its run directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from moe_lab.config.trust import trusting
from moe_lab.errors import UserError
from moe_lab.training.build import build_classifier
from moe_lab.training.checkpoint_files import read_checkpoint
from moe_lab.training.classifier import Classifier
from moe_lab.training.recorded_files import understanding
from moe_lab.training.run_directory import RunDirectory


def load(
    run_dir: str | Path, checkpoint: str = "best", trust: str | Sequence[str] = ()
) -> Classifier:
    """The trained classifier of a run, in evaluation mode on the CPU.

    `classifier(images)` takes normalised images, `classifier.predict(images)` raw ones in any form.
    `trust` names packages of your own whose classes its configuration may build.
    Raises UserError where the run or its checkpoint cannot be read.
    """
    run = RunDirectory(run_dir)
    with trusting(trust):
        config = run.read_config()
        with understanding(run.config):
            classifier = build_classifier(OmegaConf.create(config))
    load_weights(classifier, run.checkpoint(checkpoint))
    return classifier.eval()


def load_weights(classifier: Classifier, path: Path) -> None:
    """Put a checkpoint's weights into a classifier; the objective keeps its own state.

    What was minimised does not change an answer, so a run can still be read after losses changed.
    """
    state = read_checkpoint(path)["state_dict"]
    kept = {name: value for name, value in state.items() if not name.startswith("objective.")}
    try:
        found = classifier.load_state_dict(kept, strict=False)
    except RuntimeError as error:
        raise unfit(path, str(error).splitlines()[-1].strip()) from None
    missing = [name for name in found.missing_keys if not name.startswith("objective.")]
    if missing or found.unexpected_keys:
        raise unfit(path, f"missing {missing[:3]}, unexpected {found.unexpected_keys[:3]}")


def unfit(path: Path, why: str) -> UserError:
    return UserError(
        f"the weights in {path} do not fit the model that config.yaml describes: {why}",
        "a run directory as training left it, of this version of moe_lab",
    )
