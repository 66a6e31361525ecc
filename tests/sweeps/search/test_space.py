"""Spaces: every file fits its model, ranges mean what they say, bounds between keys hold."""

from __future__ import annotations

import pytest

from moe_lab.config.help import options
from moe_lab.errors import ConfigError
from moe_lab.sweeps.search.ranges import with_ranges
from moe_lab.sweeps.search.space import Space, make_space

optuna = pytest.importorskip("optuna")
SEARCH = ("hydra/sweeper=optuna",)


def space_of(*words: str) -> Space:
    found = with_ranges([*SEARCH, *words])
    return make_space([word for word in found if word not in SEARCH])


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("general", "sparse") else pytest.mark.slow)
        for name in options("search")
    ],
)
def test_every_space_fits_its_model_and_holds_the_default(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = name if name in options("model") else "sparse"
    explicit = space_of(f"model={model}", f"search={name}")
    assert [d.key for d in explicit.dimensions if not d.holds_default()] == []
    assert {"optimizer.lr", "dataset.batch_size"} <= {d.key for d in explicit.dimensions}
    if name in options("model"):
        assert space_of(f"model={model}").ranges == explicit.ranges
        assert capsys.readouterr().out == ""  # nothing was left out


def test_a_model_without_a_file_has_the_general_space() -> None:
    assert space_of("model=hierarchical").ranges == space_of("search=general").ranges


def test_what_a_changed_composition_lacks_is_left_out_and_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    keys = {d.key for d in space_of("model=sparse").dimensions}
    assert {d.key for d in space_of("model=sparse", "router=top_k").dimensions} == keys - {
        "router.noise_std"
    }
    assert "does not have: router.noise_std" in capsys.readouterr().out


def test_typed_ranges_take_the_place_of_the_file_and_typed_values_of_ranges() -> None:
    own = space_of("optimizer.lr=interval(0.001,0.01)")
    assert [d.key for d in own.dimensions] == ["optimizer.lr"]
    fixed = space_of("model=dense", "expert.hidden=32")
    assert "expert.hidden" not in {d.key for d in fixed.dimensions}
    assert "expert.hidden=32" in fixed.fixed
    both = space_of("search=general", "optimizer.lr=interval(0.001,0.01)")
    (rate,) = [d for d in both.dimensions if d.key == "optimizer.lr"]
    assert (rate.low, rate.high, rate.is_log) == (0.001, 0.01, False)
    assert len(both.dimensions) == 4


def test_top_k_is_drawn_up_to_the_number_of_experts_of_the_same_trial() -> None:
    space = space_of("model=sparse", "model.num_experts=choice(2,3,8)", "router.top_k=range(1,9,1)")
    assert [d.key for d in space.dimensions] == ["model.num_experts", "router.top_k"]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    study.ask()  # trial 0 is the default
    for _ in range(60):
        words = dict(w.split("=") for w in space.words_of(study.ask()))
        seen.add((int(words["model.num_experts"]), int(words["router.top_k"])))
    assert {(e, k) for e in (2, 3) for k in range(1, e + 1)} <= seen
    assert all(k <= e for e, k in seen)
    assert max(k for _, k in seen) == 8


def test_trial_0_is_the_default_and_tells_the_study_what_lies_in_the_space() -> None:
    space = space_of("optimizer.lr=interval(0.01,0.1)", "dataset.batch_size=choice(64,128)",
                     "expert.hidden=range(64,513,64)")  # fmt: skip
    assert space.default() == {"dataset.batch_size": "128", "expert.hidden": 256}
    study = optuna.create_study()
    study.enqueue_trial(space.default())
    trial = study.ask()
    assert space.words_of(trial) == []
    assert trial.params == {"dataset.batch_size": "128", "expert.hidden": 256}
    assert len(space.words_of(study.ask())) == 3


def test_an_interval_of_a_whole_number_gives_whole_numbers() -> None:
    space = space_of("expert.hidden=tag(log,interval(8,512))")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.ask()
    values = [int(space.words_of(study.ask())[0].split("=")[1]) for _ in range(40)]
    assert min(values) >= 8
    assert max(values) <= 512
    assert sum(v < 64 for v in values) == pytest.approx(20, abs=8)  # half of the orders


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("optimizer.lr=tag(log,interval(0,1))",), "above 0"),
        (("optimizer.lr=interval(2,1)",), "low <= high"),
        (("optimizer.lr=tag(lgo,interval(1,2))",), "without meaning"),
        (("expert.activation=interval(0,1)",), "takes no number"),
        (("expert.hidden=interval(0.5,8)",), "whole numbers"),
        (("model.num_experts=choice(2,8)", "router.top_k=choice(1,4)"), "would be 4 with"),
        (("optimizer.lr=0.1", "search=general", "optimizer.weight_decay=0.1",
          "dataset.batch_size=64", "loss.terms.cross_entropy.term.label_smoothing=0"), "nothing"),
    ],
)  # fmt: skip
def test_ranges_without_sense_are_refused(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        space_of(*words)
