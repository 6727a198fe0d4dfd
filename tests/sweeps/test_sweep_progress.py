"""The time that a sweep has left, its best point, and points that aren't repeated."""

import json
from dataclasses import dataclass, field

import optuna
import pytest

from gan_research.sweeps.best import best_point
from gan_research.sweeps.optuna_search import OptunaSearch
from gan_research.sweeps.points import Axis
from gan_research.sweeps.progress import progress, progress_of, seconds_left
from gan_research.sweeps.search import SearchSpec
from gan_research.sweeps.sweep import Sweep, snapshot
from gan_research.sweeps.trials import Outcome, Trial, TrialRun
from gan_research.utils.errors import UserError


def trial(root, number, overrides=((),), rows=(), ended=None, fid=None, values=None):
    """A trial with a run for each of `overrides`; `rows`: (round, seconds) of their logs."""
    made = Trial.create(
        root / f"{number:03d}",
        number=number,
        values=values or {},
        runs=[list(o) for o in overrides],
        metric="fid",
        note={},
    )
    for run in made.runs:
        folder = run.folder / "run"
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")
        lines = [{"round": round, "speed/seconds": seconds} for round, seconds in rows]
        lines += [{"round": 9, "metrics/fid": fid}] if fid is not None else []
        (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        if ended is not None:
            run.write_outcome(Outcome("finished", None, 0, ended))
    return made


@pytest.fixture
def running(monkeypatch):
    """Runs without an outcome are trained, if they have a row."""
    monkeypatch.setattr(TrialRun, "is_running", lambda run: run.outcome() is None and bool(run.folder.exists()))
    monkeypatch.setattr("gan_research.sweeps.sweep.is_locked", lambda path: True)


def test_the_time_left_is_that_of_the_runs_left_over_the_runs_at_once(tmp_path, running):
    trials = [
        trial(tmp_path, 0, ended=100.0, rows=[(50, 100.0)]),
        trial(tmp_path, 1, rows=[(25, 60.0)]),  # 120 in all
        trial(tmp_path, 2, rows=[(10, 16.0)]),  # 80 in all
    ]
    shots = [snapshot(one) for one in trials]
    each = (100 + 120 + 80) / 3
    assert seconds_left(shots, 5, 50) == pytest.approx((2 * each + (each - 60) + (each - 16)) / 2)
    assert seconds_left(shots, 5, None) == pytest.approx((2 * 100 + 40 + 84) / 2)  # by the one that is over
    assert seconds_left(shots, None, 50) is None
    assert progress(shots, 5, 50) == "5 trials: 1 finished, 2 running, 2 to come; about 2.7 min left"
    assert progress(shots[:1], 5, 50) == "5 trials: 1 finished, 4 to come"
    assert [progress_of(one, 50) for one in shots] == ["50/50", "25/50", "10/50"]


def test_runs_of_a_trial_with_several_seeds_count_one_by_one(tmp_path, running):
    shots = [snapshot(trial(tmp_path, 0, overrides=[("seed=0",), ("seed=1",)], rows=[(10, 10.0)]))]
    assert seconds_left(shots, 3, 20) == pytest.approx((4 * 20 + 2 * 10) / 2)


@dataclass
class Folder:
    metric: str | None = "fid"
    goal: str | None = "min"
    folder: str = "runs/sweep"
    base: list[str] = field(default_factory=list)


@pytest.mark.parametrize(("goal", "loss", "mean"), [("min", "hinge", 2.0), ("max", "minimax", 4.0)])
def test_the_best_point_has_the_best_mean_over_seeds(goal, loss, mean, tmp_path):
    fids = {("hinge", 0): 1.0, ("hinge", 1): 3.0, ("minimax", 0): 0.5, ("minimax", 1): 7.5, ("wasserstein", 0): 0.1}
    shots = [
        snapshot(
            trial(tmp_path, n, [(f"loss={name}", f"seed={s}")], fid=fid, ended=1.0, values={"loss": name, "seed": s})
        )
        for n, ((name, s), fid) in enumerate(fids.items())
    ]
    best, number = best_point(Folder(goal=goal), shots)
    assert (best.text, best.mean, number) == (f"loss={loss}", mean, 2)  # one with a single seed doesn't take part
    assert (best.overrides, best.seeds) == ([f"loss={loss}"], ["0", "1"])
    with pytest.raises(UserError):
        best_point(Folder(metric=None), shots)
    with pytest.raises(UserError):
        best_point(Folder(), [])


@pytest.mark.parametrize(
    ("axes", "points"),
    [
        ([Axis("loss", ("a", "b", "c"))], 3),
        ([Axis("loss", ("a", "b")), Axis("k", None, 1, 3, integer=True)], 6),
        ([Axis(f"generator.x{i}", tuple("abcdefghij")) for i in range(9)], 10**9),
        ([Axis("x", None, 0.0, 1.0)], None),
    ],
)  # fmt: skip
def test_a_finite_space_is_searched_without_repeats(axes, points, tmp_path):
    spec = SearchSpec([*axes, Axis("seed", ("0", "1"))], tmp_path, "study", "fid", "min")
    search = OptunaSearch(spec, lambda seed: optuna.samplers.RandomSampler(seed), optuna.pruners.NopPruner(), trials=8)
    assert (search.total, search.runs_per_trial) == (min(points or 8, 8), 2)
    trials = []
    while (proposal := search.ask(trials)) is not None:
        made = Trial.create(tmp_path / f"{len(trials):03d}", number=len(trials), metric="fid", **vars(proposal))
        trials.append(snapshot(made))
    assert len(trials) == search.total
    seen = {json.dumps(one.values) for one in trials}
    assert len(seen) == search.total
    for one in trials:
        assert search._frozen(one).params == one.values
        assert len(one.trial.runs) == 2


def test_a_sweep_of_an_earlier_version_is_read(tmp_path):
    sweep = Sweep(tmp_path / "s", "s", "", [], [], {}, {}, {})
    sweep.create()
    record = json.loads((tmp_path / "s/sweep.json").read_text())
    del record["total"]
    (tmp_path / "s/sweep.json").write_text(json.dumps(record))
    assert Sweep.open(tmp_path / "s").total is None


def test_an_untried_point_of_a_huge_space_is_drawn_and_not_listed(tmp_path):
    axes = [Axis(f"generator.x{i}", tuple("abcdefghij")) for i in range(9)]
    spec = SearchSpec(axes, tmp_path, "study", "fid", "min")
    search = OptunaSearch(spec, lambda seed: optuna.samplers.RandomSampler(seed), optuna.pruners.NopPruner())
    first = search._untried([])
    assert search._untried([]) == first
    assert search._untried([first]) != first
    assert all(first[axis.key] in axis.choices for axis in axes)
