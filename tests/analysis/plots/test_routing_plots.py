"""Heat-maps of routing, entropy, co-activation, projections of the gate and trees."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from sklearn.decomposition import PCA

from moe_lab.analysis.plots.expert_classes import competence, expert_classes
from moe_lab.analysis.plots.gate_space import densest, gate_pca, gate_tsne, has_a_plane, sample
from moe_lab.analysis.plots.routing import (
    co_activation,
    entropies,
    gating_entropy,
    routing_heat_map,
)
from moe_lab.analysis.plots.style import colours
from moe_lab.analysis.plots.tree import mass_by_level, tree_routing
from tests.analysis.plots.made_up import four_images, many_images, repeated


def test_the_three_panels_hold_counts_mass_and_accuracy() -> None:
    records = repeated(four_images(), 10)
    counts, mass, accuracy = expert_classes(records, records.layers["router"]).axes[:3]
    assert counts.images[0].get_array().tolist() == [[10, 0], [10, 0], [0, 0], [0, 10]]
    assert mass.images[0].get_array()[1].tolist() == pytest.approx([0.625, 0.25])
    assert accuracy.images[0].get_array().filled(-1).tolist() == [
        [1, -1],
        [1, -1],
        [-1, -1],
        [-1, 0],
    ]
    for panel in (counts, mass, accuracy):
        assert (panel.get_xlabel(), panel.get_ylabel()) == ("true class", "expert")


def test_an_accuracy_on_fewer_than_ten_images_is_not_shown() -> None:
    alone = np.zeros((4, 2, 2), np.float32)
    for times, shown in ((9, 0), (10, 3)):
        records = repeated(four_images(expert_log_probs=alone), times)
        cells = expert_classes(records, records.layers["router"]).axes[2].images[0].get_array()
        assert cells.count() == shown
    for times, shown in ((4, 0), (5, 4)):  # two images of each class, for two experts
        records = repeated(four_images(expert_log_probs=alone), times)
        assert competence(records).axes[0].images[0].get_array().count() == shown


def test_competence_is_the_accuracy_of_every_expert_on_every_class() -> None:
    alone = np.zeros((4, 2, 2), np.float32)
    alone[:, 0, 0] = 1  # expert 0 always says class 0
    alone[[0, 2], 1, 1] = 1  # expert 1 says class 1 on the images 0 and 2
    alone[[1, 3], 1, 0] = 1
    figure = competence(repeated(four_images(expert_log_probs=alone), 5))
    assert figure.axes[0].images[0].get_array().tolist() == [[1, 0], [0.5, 0.5]]


def test_rows_of_the_routing_are_sorted_by_class_then_expert_and_sum_to_one() -> None:
    records = many_images()
    layer = records.layers["router"]
    cells = np.asarray(routing_heat_map(records, layer).axes[0].images[0].get_array())
    assert cells.shape == (120, 4)
    np.testing.assert_allclose(cells.sum(1), 1, rtol=1e-6)
    first = cells.argmax(1).reshape(3, 40)  # forty images a class
    assert (np.diff(first, axis=1) >= 0).all()
    counts = np.bincount(layer.first[records.target == 0], minlength=4)
    assert np.bincount(first[0], minlength=4).tolist() == counts.tolist()


def test_entropies_by_hand() -> None:
    share = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4, [0.5, 0.25, 0.25, 0]])
    assert entropies(share).tolist() == pytest.approx([0, 1, 2, 1.5])


def test_the_entropy_histogram_counts_every_image_and_marks_its_maximum() -> None:
    layer = four_images().layers["router"]
    (axes,) = gating_entropy(layer).axes
    bars = [patch for patch in axes.patches if hasattr(patch, "get_height")]
    assert sum(bar.get_height() for bar in bars) == 4
    assert bars[-1].get_height() == 4  # uniform probabilities: all at the maximum
    assert [line.get_xdata()[0] for line in axes.get_lines()] == [2.0]
    assert "log2 4 = 2.00" in axes.texts[0].get_text()
    assert "(bits)" in axes.get_xlabel()
    # Shares of weight of the three images with experts: (3/4, 1/4), 1, (1/4, 3/4).
    one = -0.75 * np.log2(0.75) - 0.25 * np.log2(0.25)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert f"weights that are used, mean {2 * one / 3:.2f} bits" in labels


def test_co_activation_is_a_share_of_the_row_s_images() -> None:
    cells = co_activation(four_images().layers["router"]).axes[0].images[0].get_array()
    # Expert 0 on one image, with 1; expert 1 on three, once with 0, once with 3; 2 never.
    expected = [
        [-1, 1, 0, 0],
        [1 / 3, -1, 0, 1 / 3],
        [-1, -1, -1, -1],
        [0, 1, 0, -1],
    ]
    np.testing.assert_allclose(cells.filled(-1), expected)


def test_pca_points_are_scikit_learn_s_and_coloured_by_class_and_expert() -> None:
    records = many_images()
    layer = records.layers["router"]
    by_class, by_expert = gate_pca(records, layer).axes
    offsets = np.asarray(by_class.collections[0].get_offsets())
    np.testing.assert_allclose(offsets, PCA(2).fit_transform(layer.probs), atol=1e-5)
    seen = by_expert.collections[0].get_facecolors()[:, :3]
    np.testing.assert_allclose(seen, np.array(colours(4))[layer.first, :3])
    assert "% of variance" in by_class.get_xlabel()


def test_an_image_without_an_expert_is_grey() -> None:
    records = four_images()
    draw = np.random.default_rng(0).random((4, 4)).astype(np.float32)
    layer = type(records.layers["router"])(draw, draw, records.layers["router"].weights)
    seen = gate_pca(records, layer).axes[1].collections[0].get_facecolors()
    np.testing.assert_allclose(seen[3, :3], to_rgba("#dddddd")[:3])


def test_tsne_gives_the_same_picture_twice() -> None:
    records = many_images()
    layer = records.layers["router"]
    first, second = (
        np.asarray(gate_tsne(records, layer).axes[0].collections[0].get_offsets()) for _ in "12"
    )
    assert first.shape == (120, 2)
    np.testing.assert_array_equal(first, second)


def test_at_most_two_thousand_images_are_embedded() -> None:
    rows = sample(10_000)
    assert len(set(rows.tolist())) == 2000
    assert (sample(10_000) == rows).all()
    assert sample(5).tolist() == [0, 1, 2, 3, 4]


def test_a_gate_that_never_decides_has_no_plane() -> None:
    assert not has_a_plane(four_images().layers["router"])
    assert has_a_plane(many_images().layers["router"])


def test_a_name_stands_in_the_denser_of_two_groups() -> None:
    draw = np.random.default_rng(0)
    tight, loose = draw.normal(0, 0.01, (30, 2)), draw.normal(10, 1, (40, 2))
    x, y = densest(np.concatenate([tight, loose]))
    assert abs(x) < 0.1
    assert abs(y) < 0.1


def test_mass_in_a_tree_is_the_sum_of_its_leaves() -> None:
    records = four_images()
    root, middle, leaves = mass_by_level(records, records.layers["router"], [2, 2])
    # Shares: (.75, .25, 0, 0), (0, 1, 0, 0) of class 0 and (0, .25, 0, .75) of class 1, of 3.
    np.testing.assert_allclose(root, [[2 / 3, 1 / 3]], rtol=1e-6)
    np.testing.assert_allclose(middle, [[2 / 3, 1 / 12], [0, 1 / 4]], rtol=1e-6)
    np.testing.assert_allclose(leaves[1], [1.25 / 3, 0.25 / 3], rtol=1e-6)


def test_the_tree_draws_every_node_with_its_mass_and_class() -> None:
    records = four_images()
    (axes,) = tree_routing(records, records.layers["router"], [2, 2]).axes
    texts = [text.get_text() for text in axes.texts]
    assert len(texts) == 1 + 2 + 4
    assert texts[0] == "100.0%\ncat: 67%"
    assert texts[2] == "25.0%\ndog: 100%"
    assert texts[5] == "0.0%\n-: 0%"  # expert 2 is never used
    sizes = [dots.get_sizes()[0] for dots in axes.collections]
    assert sizes[1] / sizes[2] == pytest.approx((25 + 900 * 0.75) / (25 + 900 * 0.25))


def test_a_branching_of_other_size_is_refused() -> None:
    records = four_images()
    with pytest.raises(ValueError, match="branching"):
        tree_routing(records, records.layers["router"], [3, 2])
