"""Which figures apply to which model, and the ones that need a live model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from omegaconf import OmegaConf

from moe_lab.analysis import collect
from moe_lab.analysis.plots import draw_run, gallery, save, square_records
from moe_lab.analysis.plots.architecture import architecture, parts
from moe_lab.analysis.plots.gallery import layer_figures, modules, run_figures
from moe_lab.analysis.plots.territories import SIDE, square
from moe_lab.config.check import check_overrides
from moe_lab.config.resolvers import register_resolvers
from moe_lab.training.build import build_classifier
from moe_lab.training.classifier import Classifier
from tests.analysis.plots.made_up import history, many_images
from tests.catalogue import tables_of

Train = Callable[..., tuple[int, Path]]
ALWAYS = {"architecture", "confusion", "reliability"}
OF_A_LAYER = {"expert_classes", "routing", "gating_entropy", "gate_pca", "gate_tsne"}
IMAGES = np.zeros((120, 1, 8, 8), np.uint8)


def test_the_page_lists_every_figure_once() -> None:
    page = Path(gallery.__file__).with_name("README.md").read_text()
    (table,) = [own for own in tables_of(page) if own.about == "figure"]
    assert sorted(table.options()) == sorted({**run_figures(), **layer_figures()})


def test_no_two_files_offer_a_figure_of_the_same_name() -> None:
    kinds = ("RUN_FIGURES", "LAYER_FIGURES")
    stems = [stem for m in modules() for kind in kinds for stem in getattr(m, kind, {})]
    assert len(stems) == len(set(stems))


def build(*overrides: str) -> Classifier:
    register_resolvers()
    small = () if "dataset=toy2d" in overrides else ("dataset=synthetic", "dataset.size=[1,8,8]")
    config = check_overrides("train", [*small, *overrides], multirun=False)
    OmegaConf.update(config, "dataset.mean", [0.5])
    OmegaConf.update(config, "dataset.std", [0.25])
    torch.manual_seed(0)
    return build_classifier(config)


def drawn(*overrides: str) -> set[str]:
    """The stems for an untrained model on random images."""
    classifier = build(*overrides)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (120, 1, 8, 8), generator=generator).to(torch.uint8)
    batch = ((images / 255 - 0.5) / 0.25, torch.arange(120) % 10)
    records = collect(classifier, [batch], [str(label) for label in range(10)])
    return set(draw_run(records, images.numpy(), model=classifier.model))


def test_a_dense_model_has_no_figures_of_experts() -> None:
    assert drawn("model=dense") == ALWAYS | {"misclassified"}


def test_a_sparse_mixture_has_those_of_its_router() -> None:
    expected = ALWAYS | OF_A_LAYER | {"misclassified", "top_images", "co_activation"}
    assert drawn("model=sparse") == expected


def test_a_mixture_that_asks_everyone_has_no_co_activation() -> None:
    assert drawn("model=standard") == ALWAYS | OF_A_LAYER | {"misclassified", "top_images"}


def test_a_tree_is_drawn_as_a_tree() -> None:
    assert "tree_routing" in drawn("model=hierarchical")


def test_images_that_think_for_different_times_have_a_figure_of_steps() -> None:
    assert drawn("model=dense") & {"steps_taken", "passes"} == set()
    records = replace(many_images(), steps=np.arange(120, dtype=np.float32))
    assert "steps_taken" in draw_run(records)
    assert "steps_taken" not in draw_run(replace(records, steps=np.ones(120, np.float32)))


def test_passes_are_drawn_where_there_are_several() -> None:
    assert {"passes", "pass_probabilities"} <= drawn("model=iwmn")
    plain = many_images()
    twice = np.stack([plain.log_probs, plain.log_probs])
    assert {"passes", "pass_probabilities"} <= set(draw_run(replace(plain, pass_log_probs=twice)))
    assert "passes" not in draw_run(replace(plain, pass_log_probs=twice[:1]))


def test_every_layer_has_its_own_set() -> None:
    figures = draw_run(many_images(layers=("early", "late")), IMAGES, history_rows=history())
    of_each = OF_A_LAYER | {"co_activation", "top_images", "utilisation"}
    assert set(figures) == {
        *("training_curves", "confusion", "reliability", "misclassified"),
        *(f"{layer}_{stem}" for layer in ("early", "late") for stem in of_each),
    }


def test_classes_can_be_called_otherwise() -> None:
    axes = draw_run(many_images(), class_names=("x", "y", "z"))["confusion"].axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["x", "y", "z"]


def test_saved_figures_are_png_of_150_dots_an_inch(tmp_path: Path) -> None:
    figures = {"confusion": draw_run(many_images())["confusion"]}
    (path,) = save(figures, tmp_path / "plots")
    assert path == tmp_path / "plots" / "confusion.png"
    width, height = figures["confusion"].get_size_inches()
    assert imread(path).shape[:2] == pytest.approx((height * 150, width * 150), abs=1)


@pytest.mark.parametrize("model", ["dense", "sparse", "hierarchical", "soft_moe", "adaptive_depth"])
def test_the_boxes_hold_all_parameters_of_the_model(model: str) -> None:
    live = build(f"model={model}").model
    total = sum(parameter.numel() for parameter in live.parameters())
    assert sum(part.parameters for part in parts(live)) == total
    figure = architecture(live)
    assert f"{total:,} parameters" in figure.get_suptitle()
    written = {text.get_text() for text in figure.axes[0].texts}
    assert {part.name for part in parts(live)} <= written


def test_the_diagram_names_kinds_and_sizes() -> None:
    live = build("model=sparse", "router.top_k=3", "model.num_experts=6").model
    written = " ".join(text.get_text() for text in architecture(live).axes[0].texts)
    for word in ("NoisyTopKRouter", "num_experts 6", "top_k 3", "MLPExperts", "who is asked"):
        assert word in written


def test_the_square_is_asked_on_its_grid_in_the_right_order() -> None:
    pixels = square().view(-1, 2)
    assert len(pixels) == SIDE * SIDE
    assert pixels[1].tolist() == [2, 0]  # x runs first
    assert pixels[SIDE].tolist() == [0, 2]
    classifier = build("dataset=toy2d", "model=sparse")
    toy = square_records(classifier, ("0", "1"))
    asked = classifier.predict(square()[:300])
    np.testing.assert_allclose(np.exp(toy.log_probs[:300]), asked.numpy(), atol=1e-5)


def test_regions_show_class_and_expert_of_every_point(train: Train) -> None:
    code, run = train(
        "dataset=toy2d", "dataset.source.kind=circles", "model=sparse", "dataset.epochs=4",
        "dataset.source.num_train=1000", "trainer.accelerator=cpu", small=False,
    )  # fmt: skip
    assert code == 0
    from moe_lab.training.load_run import load

    classifier = load(run)
    toy = square_records(classifier, ("inner", "outer"))
    pixels = square()[:9]  # too few for t-SNE, which takes seconds
    batch = ((pixels / 255 - 0.5) / 0.25, torch.zeros(9, dtype=torch.int64))
    records = collect(classifier, [batch], ("inner", "outer"))
    figures = draw_run(records, pixels.numpy(), model=classifier.model, toy=toy)
    assert "decision_regions" in figures
    assert "top_images" not in figures
    answer, territory = figures["decision_regions"].axes
    picture = np.asarray(answer.images[0].get_array())
    assert picture.shape == (SIDE, SIDE, 3)
    middle, corner = picture[SIDE // 2, SIDE // 2], picture[0, 0]
    assert middle[2] > middle[0]  # blue, class 0
    assert corner[0] > corner[2]  # orange, class 1
    present = [text.get_text() for text in territory.get_legend().get_texts()]
    assert present == [str(e) for e in np.unique(toy.layers["router"].first)]
