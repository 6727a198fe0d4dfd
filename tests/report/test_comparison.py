"""Groups of runs, their numbers at equal budget, and what is said of those that aren't in them."""

import math
from pathlib import Path

import numpy as np
import pytest
from made import PROTOCOL, make_run

from gan_research.report.comparison import compare
from gan_research.report.grouping import select_runs
from gan_research.report.read import read
from gan_research.report.records import Record, format_x
from gan_research.report.statistics import compare_means, holm, mean_interval
from gan_research.utils.errors import UserError
from gan_research.utils.ranges import NON_NEGATIVE

FIDS = {"hinge": [5.0, 6.0, 5.5], "minimax": [8.0, 9.5, 8.0]}


@pytest.fixture
def runs(tmp_path):
    """runs(hinge=[5.0, 6.0], minimax=[...], every=..., ...): a run for each final FID, its seed its place; records."""

    def make(every=100, rounds=None, folder="runs", **settings):
        finals = {loss: settings.pop(loss) for loss in list(settings) if isinstance(settings[loss], list)}
        for loss, fids in finals.items():
            for seed, fid in enumerate(fids):
                path = tmp_path / folder / f"{loss}{seed}"
                make_run(path, loss=loss, seed=seed, fid=[80, 10, fid], every=every, rounds=rounds, **settings)
        return read([tmp_path])[0]

    return make


def sources(records):
    return [record.source.rpartition("/")[2] for record in records]


def test_a_groups_summary(runs):
    comparison = compare(runs(**FIDS))
    assert (comparison.by, comparison.axis, comparison.position) == ("loss", "round", 200)
    assert comparison.metrics == {"fid": "min"}
    assert list(comparison.groups) == ["hinge", "minimax"]
    summary = comparison.summaries["fid"]["minimax"]
    assert list(summary.values.values()) == [8, 9.5, 8]
    assert (summary.mean, summary.median, summary.method) == (8.5, 8, "Student-t on the log scale")
    assert summary.std == pytest.approx(math.sqrt(0.75), rel=1e-12)
    assert summary.interval == mean_interval([8, 9.5, 8], NON_NEGATIVE)
    assert comparison.counted("fid", "hinge") == "3"
    assert comparison.best("fid") == "hinge"
    assert (comparison.failed, comparison.notes, comparison.importance) == ([], [], {"fid": {}})


def test_seeds_are_paired_where_groups_share_them(runs):
    (pair,) = compare(runs(**FIDS)).pairs
    assert (pair.metric, pair.a, pair.b, pair.paired) == ("fid", "hinge", "minimax", True)
    assert pair.probability == 1
    assert pair.difference == -3
    assert pair.difference_interval == pytest.approx(mean_interval([-3, -3.5, -2.5]), rel=1e-12)
    assert pair.interval[0] <= 0.5  # 3 against 3


def test_shared_seeds_are_paired_and_the_others_left_out_of_the_difference(runs):
    (pair,) = compare(runs(hinge=[5.0, 6.0, 7.0], minimax=[8.0, 9.5, 11.0, 100.0])).pairs
    assert (pair.paired, pair.difference, pair.difference_interval) == (True, -3.5, mean_interval([-3, -3.5, -4]))
    assert pair.p_value == pair.p_holm == compare_means([-3, -3.5, -4], [0, 0, 0], paired=True)[1]


@pytest.mark.parametrize("hinge", [{0: 5.0, 1: 6.0, 8: 7.0}, {0: 5.0, 1: 6.0, "1 again": 7.0}])
def test_without_shared_seeds_the_difference_is_welchs(runs, tmp_path, hinge):
    for name, fid in hinge.items():
        make_run(tmp_path / "others" / f"h{name}", seed=int(str(name)[0]), fid=[80, 10, fid])
    (pair,) = compare(runs(minimax=[8.0, 9.5, 8.75])).pairs
    assert not pair.paired
    assert pair.difference == pytest.approx(6 - 8.75)
    assert (pair.difference_interval, pair.p_value) == compare_means([5, 6, 7], [8, 9.5, 8.75])


def test_with_one_or_two_seeds_no_interval_and_no_test_are_given_and_that_is_said(runs):
    comparison = compare(runs(hinge=[5.0], minimax=[80.0, 90.0]))
    summary = comparison.summaries["fid"]["hinge"]
    assert (summary.mean, summary.std, summary.interval, summary.method) == (5, None, None, None)
    two = comparison.summaries["fid"]["minimax"]
    assert (two.mean, two.std, two.interval, two.method) == (85, pytest.approx(50**0.5), None, None)
    (pair,) = comparison.pairs
    assert (pair.probability, pair.interval, pair.difference_interval, pair.paired) == (1, None, None, False)
    assert (pair.p_value, pair.p_holm, pair.distinguishable, pair.winner("min")) == (None, None, False, None)
    assert comparison.leaders("fid") == ["hinge", "minimax"]
    assert comparison.notes == [
        "one seed: no interval or test can be given for hinge (fid)",
        "two seeds: no interval or test can be given for minimax (fid)",
    ]
    for group in comparison.groups:
        assert comparison.curves("metrics/fid", "round")[group].low == [None] * 3


def test_one_group_of_one_run(runs):
    comparison = compare(runs(hinge=[5.0]))
    assert (comparison.pairs, comparison.best("fid"), comparison.counted("fid", "hinge")) == ([], None, "1")
    assert comparison.leaders("fid") == ["hinge"]


# Which group is best


@pytest.mark.parametrize(
    ("finals", "leaders"),
    [
        ({"hinge": [5.0, 6.0, 5.5], "minimax": [58.0, 59.5, 57.0]}, ["hinge"]),
        ({"hinge": [5.0, 6.0, 5.5], "minimax": [5.9, 5.0, 5.8]}, ["hinge", "minimax"]),
        (
            {"hinge": [5.0, 6.0, 5.5], "minimax": [5.9, 5.0, 5.8], "wasserstein": [58.0, 59.5, 57.0]},
            ["hinge", "minimax"],
        ),
        # the only run of the best mean proves nothing, and the worst is worse than another
        ({"hinge": [1.0], "minimax": [5.9, 5.0, 5.8], "wasserstein": [58.0, 59.5, 57.0]}, ["hinge", "minimax"]),
        ({"hinge": [5.0, 5.0, 5.0], "minimax": [6.0, 6.0, 6.0]}, ["hinge"]),  # p = 1/32
        ({"hinge": [5.0, 5.0, 5.0], "minimax": [5.0, 5.0, 5.0]}, ["hinge", "minimax"]),
    ],
)
def test_leaders_are_the_groups_than_which_none_is_better_by_more_than_seed_noise(runs, finals, leaders):
    comparison = compare(runs(**finals))
    assert comparison.leaders("fid") == leaders
    assert comparison.best("fid") == (leaders[0] if len(leaders) == 1 else None)
    assert comparison.best_mean("fid") == "hinge"


def test_p_values_are_corrected_for_the_pairs_of_their_metric(runs):
    score = {"inception_score": [1, 2, 3]}
    finals = {
        "hinge": [5.0, 6.0, 5.5],
        "minimax": [8.0, 9.5, 8.0],
        "wasserstein": [6.0, 7.5, 5.0],
        "least_squares": [7.0],
    }
    comparison = compare(runs(**finals, extra=score))
    tested = [pair for pair in comparison.pairs if pair.metric == "fid" and pair.p_value is not None]
    assert len(tested) == 3  # not those with least_squares
    assert [pair.p_holm for pair in tested] == holm([pair.p_value for pair in tested])
    assert max(pair.p_holm for pair in tested) < 1
    found = comparison.probabilities("fid")
    assert found["hinge"]["minimax"] == 1 - found["minimax"]["hinge"] == 1
    assert set(found["least_squares"]) == {"hinge", "minimax", "wasserstein"}


@pytest.mark.long
def test_a_group_is_called_worse_by_chance_in_at_most_5_percent():
    """Of 400 simulations of five equal groups of four runs; standard error 1.1 %."""
    generator, left_out = np.random.default_rng(0), 0
    for finals in generator.normal(5, 1, (400, 5, 4)):
        records = [
            Record(f"{g} {s}", "", "", choices={"loss": f"g{g}"}, seed=s, state="finished",
                   rows=[{"round": 1, "metrics/fid": float(x), "better": {"fid": "min"}, "ranges": {}}])
            for g, of in enumerate(finals) for s, x in enumerate(of)
        ]  # fmt: skip
        left_out += len(compare(records).leaders("fid")) < 5
    assert 0.005 < left_out / 400 < 0.083


# The position


@pytest.mark.parametrize("axis", ["round", "kimg"])
def test_a_short_run_is_left_out_and_how_to_include_it_is_said(runs, tmp_path, axis):
    short = make_run(tmp_path / "short", seed=7, fid=[80, 1])
    (shorter,) = (make_run(tmp_path / "shorter" / "run", loss="minimax", seed=8, fid=[80, 2], every=50),)
    records = runs(hinge=[5.0, 6.0, 7.0])
    comparison = compare(records, axis=axis)
    text, end = {"round": ("round 200", "50"), "kimg": ("12.8 kimg", "3.2")}[axis]
    assert format_x(comparison.position, axis) == text
    assert comparison.counted("fid", "hinge") == "3 of 4 (1 too short)"
    assert comparison.counted("fid", "minimax") == "0 of 1 (1 too short)"
    assert comparison.notes == [
        f"2 finished runs are left out, as they end before {text}: {short}, {shorter}; --at {end} includes them"
    ]
    assert sum(len(s.values) for s in compare(records, axis=axis, at=float(end)).summaries["fid"].values()) == 5


def test_of_two_groups_of_unequal_length_neither_is_left_out(runs, tmp_path):
    runs(hinge=[5.0, 6.0, 7.0])
    for seed in range(3):
        make_run(tmp_path / f"long{seed}", loss="minimax", seed=seed, fid=[80, 20, 10, 5, 3])
    comparison = compare(read([tmp_path])[0])
    assert (comparison.position, comparison.counted("fid", "minimax")) == (200, "3")
    assert comparison.notes == ["3 of 6 runs continue after round 200, up to round 400: numbers are taken at round 200"]


def test_a_faster_run_is_not_short_but_one_of_fewer_rounds_is(runs, tmp_path):
    make_run(tmp_path / "fast", loss="minimax", fid=[80, 10, 9], seconds=0.001)
    short = make_run(tmp_path / "short", seed=7, fid=[80, 10, 9], every=10)
    comparison = compare(runs(hinge=[5.0, 6.0, 7.0]), axis="seconds")
    assert comparison.position == pytest.approx(0.2)
    assert comparison.counted("fid", "minimax") == "1"
    assert comparison.counted("fid", "hinge") == "4"  # that of 20 rounds took as long
    late = compare([*runs(), *read([short])[0]][:-1], axis="seconds", at=2)
    assert late.counted("fid", "minimax") == "0 of 1 (1 too short)"


def test_notes_are_of_runs_that_take_part(runs, tmp_path):
    """Not of a short one: its protocol, its seed, its collapse, or what wasn't measured in it."""
    short = make_run(tmp_path / "short", seed=0, fid=[80, 1], protocol="unknown", log=False)
    records = runs(hinge=[5.0, 6.0, 7.0], extra={"inception_score": [1, 2, 3]})
    next(r for r in records if r.source == str(short)).rows.append({"round": 100, "health/collapse": 1.0})
    (note,) = compare(records).notes
    assert note.startswith("1 finished run is left out")


def test_numbers_are_of_the_furthest_place_that_all_finished_runs_reach(runs, tmp_path):
    make_run(tmp_path / "long", loss="minimax", fid=[80, 20, 10, 5, 3])
    comparison = compare(runs(hinge=[5.0, 6.0]))
    assert comparison.position == 200
    assert list(comparison.summaries["fid"]["minimax"].values.values()) == [10]
    assert "1 of 3 runs continue after round 200, up to round 400: numbers are taken at round 200" in comparison.notes


def test_at_chooses_the_place(runs):
    records = runs(hinge=[5.0, 6.0])
    assert list(compare(records, at=100).summaries["fid"]["hinge"].values.values()) == [10, 10]
    assert list(compare(records, at=150).summaries["fid"]["hinge"].values.values()) == [10, 10]
    assert compare(records, axis="kimg", at=6.4).summaries["fid"]["hinge"].mean == 10
    for wrong in (201, -1):
        with pytest.raises(UserError, match=rf"--at {wrong}: give a position from 0 to round 200"):
            compare(records, at=wrong)


def test_in_equal_time_the_faster_run_has_gone_further(runs, tmp_path):
    make_run(tmp_path / "slow", loss="minimax", fid=[80, 30, 20, 10], seconds=0.02)
    comparison = compare(runs(hinge=[5.0]), axis="seconds")  # 2 seconds, in which minimax has trained 100 rounds
    assert comparison.position == pytest.approx(2)
    assert comparison.summaries["fid"]["minimax"].mean == 30
    assert comparison.summaries["fid"]["hinge"].mean == 5


def test_runs_that_tell_no_seconds_are_left_out_of_equal_time(runs, tmp_path):
    old = make_run(tmp_path / "old", loss="minimax", seconds=None)
    comparison = compare(runs(hinge=[5.0, 6.0]), axis="seconds")
    assert list(comparison.summaries["fid"]) == ["hinge"]
    assert comparison.notes[0] == f"left out, as their seconds aren't recorded: {old}"
    with pytest.raises(UserError, match="no run has recorded its seconds: compare them with --axis round"):
        compare(read([old])[0], axis="seconds")


def test_failed_and_unfinished_runs_are_counted_and_not_averaged(runs, tmp_path):
    failed = make_run(tmp_path / "failed", seed=3, fid=[80, 1], rounds=200)
    (failed / "crash").mkdir()
    (failed / "crash" / "round_150.json").write_text('{"error": "NaN"}')
    young = make_run(tmp_path / "young", seed=4, fid=[80], rounds=200)
    late = make_run(tmp_path / "late", seed=5, fid=[80, 10, 7], rounds=900)
    comparison = compare(runs(hinge=[5.0, 6.0]))
    assert comparison.counted("fid", "hinge") == "3 of 5 (1 failed, 1 stopped)"
    assert comparison.summaries["fid"]["hinge"].mean == 6  # 5, 6 and, as it got there, 7
    assert sources(comparison.failed) == ["failed"]
    assert f"left out, as they didn't reach round 200: {young} (stopped)" in comparison.notes
    assert str(late) not in " ".join(comparison.notes)


def test_while_no_run_has_finished_numbers_are_of_where_all_have_been(tmp_path):
    for seed, fids in enumerate(([80, 10, 5], [80, 20])):
        make_run(tmp_path / str(seed), seed=seed, fid=fids, rounds=900)
    comparison = compare(read([tmp_path])[0])
    assert comparison.position == 100
    assert comparison.summaries["fid"]["hinge"].mean == 15
    assert comparison.notes[0] == "no run has finished: numbers are taken at round 100, which most runs have reached"


def test_what_was_measured_at_other_rounds_is_said(runs, tmp_path):
    make_run(tmp_path / "other", loss="minimax", fid=[80, 40, 30, 20], every=70)
    comparison = compare(runs(hinge=[5.0]), at=200)
    assert comparison.summaries["fid"]["minimax"].mean == 30
    assert "fid is the last value measured up to round 200, in some runs at round 140" in comparison.notes


def test_a_number_that_isnt_finite_is_left_out_and_said(runs):
    comparison = compare(runs(hinge=[5.0, float("nan"), float("inf"), 6.0]))
    assert list(comparison.summaries["fid"]["hinge"].values.values()) == [5, 6]
    assert comparison.counted("fid", "hinge") == "2 of 4 (2 without it)"
    note = comparison.notes[0]
    assert note.startswith("left out, as their fid isn't finite")
    assert "hinge1" in note
    assert "hinge2" in note


def test_a_metric_that_only_some_runs_have(runs, tmp_path):
    more = make_run(
        tmp_path / "more",
        loss="minimax",
        fid=[80, 10, 9],
        extra={"inception_score": [1, 2, 3], "inception_score_std": [1, 1, 1]},
    )
    comparison = compare(runs(hinge=[5.0, 6.0]))
    assert comparison.metrics == {"fid": "min", "inception_score": "max"}
    assert list(comparison.summaries["inception_score"]) == ["minimax"]
    assert comparison.counted("inception_score", "hinge") == "0 of 2 (2 without it)"
    assert any(
        note.startswith("inception_score wasn't measured in ") and str(more) not in note for note in comparison.notes
    )
    assert any(note.startswith("inception_score wasn't") for note in compare(runs(), metrics=["inception_score"]).notes)


def test_old_histories_dont_say_which_is_better(runs):
    extra = {
        name: [1, 2, 3]
        for name in (
            "inception_score",
            "inception_score_std",
            "kid",
            "fd_dinov2",
            "ifid",
            "recall",
            "fid_perfect",
            "mine",
        )
    }
    comparison = compare(runs(hinge=[5.0], better=None, extra=extra))
    known = {"fid": "min", "inception_score": "max", "kid": "min", "fd_dinov2": "min", "ifid": "min", "recall": "max"}
    assert comparison.metrics == known


def test_runs_that_nothing_was_measured_of_are_compared_by_their_losses(runs):
    (history,) = (Path(record.source) / "history.jsonl" for record in runs(hinge=[5.0]))
    history.write_text("".join(line for line in history.read_text().splitlines(True) if "metrics/" not in line))
    comparison = compare(runs())
    assert (comparison.metrics, comparison.summaries, comparison.position) == ({}, {}, 0)
    assert comparison.notes == ["no run has a metric that ranks generators"]
    assert comparison.curves("loss/generator", "round")["hinge"].x == [50, 100, 150, 200]


def test_a_metric_is_chosen_by_name(runs):
    records = runs(hinge=[5.0], extra={"inception_score": [1, 2, 3]})
    assert compare(records, metrics=["inception_score"]).metrics == {"inception_score": "max"}
    assert compare(records, metrics=["metrics/fid"]).metrics == {"fid": "min"}
    with pytest.raises(UserError, match="no run has a metric 'fidd' that ranks generators: did you mean 'fid'"):
        compare(records, metrics=["fidd"])


def test_groups_are_made_by_any_setting_in_the_order_of_its_values(runs, tmp_path):
    for lr in (0.01, 0.002, 1e-5):
        runs(folder=str(lr), hinge=[5.0], lr=lr)
    records = runs(folder="last", minimax=[5.0], lr=0.01)
    assert list(compare(records, by="optimizer.generator.lr").groups) == ["lr=1e-05", "lr=0.002", "lr=0.01"]
    comparison = compare(records, by="loss,optimizer.generator.lr")
    assert list(comparison.groups) == ["hinge, lr=1e-05", "hinge, lr=0.002", "hinge, lr=0.01", "minimax, lr=0.01"]
    assert [len(group) for group in comparison.groups.values()] == [1, 1, 1, 1]


def test_a_setting_that_no_run_has_is_an_error_that_names_the_nearest(runs):
    with pytest.raises(UserError, match=r"no setting 'optimizer.generator.rl': did you mean 'optimizer.generator.lr'"):
        compare(runs(hinge=[5.0]), by="optimizer.generator.rl")
    with pytest.raises(UserError, match=r"'lr': its full name may be optimizer.discriminator.lr or optimizer.gene"):
        compare(runs(), by="lr")
    with pytest.raises(
        UserError, match="'zzzz': valid: augment, channels_last, data, head, loss, name, optimizer, output, "
    ):
        compare(runs(), by="zzzz")


def test_runs_without_the_setting_are_a_group_of_their_own(runs, tmp_path):
    runs(hinge=[5.0], folder="with", loss__margin=2.0)
    records = runs(minimax=[6.0])
    assert list(compare(records, by="loss.margin").groups) == ["margin=2.0", "margin=none"]


def test_runs_of_unknown_settings_are_left_out(runs, tmp_path):
    broken = make_run(tmp_path / "broken", choices=False)
    (broken / "config.yaml").write_text("[")
    comparison = compare(runs(hinge=[5.0, 6.0]))
    assert len(comparison.records) == 2
    assert f"{broken} is left out: its loss isn't known" in comparison.notes


def test_where_keeps_runs(runs):
    runs(hinge=[5.0, 6.0], lr=0.001)
    records = runs(folder="more", minimax=[7.0])
    assert sources(select_runs(records, ["loss=hinge", "seed=1"])) == ["hinge1"]
    assert len(select_runs(records, ["optimizer.generator.lr=1e-3"])) == 3
    for condition, line in {
        "loss": "--where loss: give KEY=VALUE",
        "loss=hing": "no run has loss=hing: did you mean 'hinge'?",
        "los=hinge": "no setting 'los': did you mean 'loss'?",
    }.items():
        with pytest.raises(UserError) as caught:
            select_runs(records, [condition])
        assert line in str(caught.value)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"num_fake": 500}, "num_fake: 100 and 500"),
        ({"real_hash": "ffff", "num_real": 9}, "num_real: 1597 and 9; real_hash: b1328d3d and ffff"),
        ({"sampling_seeds": [1]}, "sampling_seeds: [0] and [1]"),
        ({"settings": {"fid": {"num_real": 7}}}, 'settings of fid: {"num_real": 1597} and {"num_real": 7}'),
        ({"extractor": "inception"}, "extractor: classifier-digits and inception"),
    ],
)
def test_numbers_of_different_protocols_are_refused(runs, tmp_path, change, what):
    other = make_run(tmp_path / "other", loss="minimax", protocol=PROTOCOL | change)
    records = runs(hinge=[5.0])
    with pytest.raises(UserError) as caught:
        compare(records)
    assert str(caught.value) == (
        f"fid was measured by different protocols and can't be compared: {tmp_path / 'runs' / 'hinge0'} and "
        f"{other} differ in {what}; select comparable runs with --where KEY=VALUE, or other metrics with --metric NAME"
    )
    assert len(compare(select_runs(records, ["loss=hinge"])).records) == 1


def test_other_settings_of_another_metric_dont_matter(runs, tmp_path):
    settings = {"fid": {"num_real": 1597}, "inception_score": {"splits": 5}, "kid": {}}
    extra = {"inception_score": [1, 2, 3]}
    make_run(tmp_path / "other", loss="minimax", protocol=PROTOCOL | {"settings": settings}, extra=extra)
    records = runs(hinge=[5.0], extra=extra)
    assert compare(records, metrics=["fid"]).counted("fid", "minimax") == "1"
    with pytest.raises(
        UserError,
        match=r'^inception_score was measured .* settings of inception_score: {"splits": 10} and {"splits": 5};',
    ):
        compare(records)


def test_a_run_that_doesnt_say_how_it_was_measured_is_said(runs, tmp_path):
    run = make_run(tmp_path / "run", loss="minimax", protocol="unknown")
    comparison = compare(runs(hinge=[5.0, 6.0]))
    assert f"protocol not recorded, so these runs may not be comparable: {run}" in comparison.notes


def test_a_run_that_changed_its_protocol_is_refused(runs, tmp_path):
    run = make_run(tmp_path / "run")
    history = run / "history.jsonl"
    head, last = history.read_text().rsplit('"num_fake": 100', 1)
    history.write_text(f'{head}"num_fake": 50{last}')
    with pytest.raises(UserError, match=r"run changed num_fake: 100 and 50;"):
        compare(read([run])[0])


def test_groups_may_differ_in_the_generators_average_but_a_group_may_not(runs, tmp_path):
    make_run(tmp_path / "raw", loss="minimax", protocol=PROTOCOL | {"ema": False})
    records = runs(hinge=[5.0])
    assert list(compare(records).summaries["fid"]) == ["hinge", "minimax"]
    with pytest.raises(UserError, match=r"differ in ema: false and true;"):
        compare(records, by="rounds")


def test_curves_have_the_mean_of_the_runs_that_got_there(runs, tmp_path):
    make_run(tmp_path / "short", seed=7, fid=[60, 30], rounds=900)
    curve = compare(runs(hinge=[5.0, 6.0])).curves("metrics/fid", "round")["hinge"]
    assert curve.x == [0, 100, 200]
    assert curve.count == [3, 3, 2]
    assert curve.mean == pytest.approx([220 / 3, 50 / 3, 5.5], rel=1e-12)
    ends = [curve.low, curve.high]
    assert [end[1] for end in ends] == pytest.approx(mean_interval([10, 10, 30], NON_NEGATIVE), rel=1e-12)
    assert [end[2] for end in ends] == [None, None]


def test_curves_of_runs_with_other_rows_are_interpolated(runs, tmp_path):
    make_run(tmp_path / "other", seed=7, fid=[80, 40, 20], every=50)
    curve = compare(runs(hinge=[5.0])).curves("metrics/fid", "round")["hinge"]
    assert (curve.x, curve.count) == ([0, 50, 100, 200], [2, 2, 2, 1])
    assert curve.mean == [80, (45 + 40) / 2, (10 + 20) / 2, 5]


def test_curves_over_time_are_at_even_seconds(runs, tmp_path):
    make_run(tmp_path / "slow", seed=7, fid=[80, 10, 5], seconds=0.02)
    curve = compare(runs(hinge=[5.0])).curves("metrics/fid", "seconds")["hinge"]
    assert curve.x == pytest.approx([0, 2, 4])
    assert curve.mean == pytest.approx([80, (5 + 10) / 2, 5])
    assert curve.count == [2, 2, 1]


def test_a_scalar_that_no_run_has_has_no_curves(runs):
    assert compare(runs(hinge=[5.0])).curves("loss/none", "round") == {}


def test_the_settings_in_which_groups_differ(runs, tmp_path):
    runs(hinge=[5.0, 6.0], lr=0.002, loss__margin=1.0, batch_size=64, data__batch_size=64)
    for i in range(6):
        runs(folder=f"tuned{i}", minimax=[8.0], lr=0.001 * (i + 1), batch_size=64, data__batch_size=64)
    comparison = compare(read([tmp_path])[0])
    lr = {"hinge": "0.002", "minimax": "6 values, 0.001 to 0.006"}
    assert comparison.differences == {
        "optimizer.generator.lr": lr,
        "optimizer.discriminator.lr": lr,
        "loss.margin": {"hinge": "1.0", "minimax": "-"},
    }
    assert comparison.varied == ["loss", "optimizer.generator.lr", "optimizer.discriminator.lr"]
    assert "minimax contains 6 configurations: its interval isn't over seeds alone" in comparison.notes
    assert any(note.startswith("one seed") for note in comparison.notes) is False


def test_the_best_of_tuned_variants_at_equal_budget(runs, tmp_path):
    """Each configuration is the mean of its two seeds: 6, 8 and 13."""
    for lr, fids in {0.1: [5.0, 7.0], 0.2: [8.0, 8.0], 0.3: [12.0, 14.0]}.items():
        runs(folder=str(lr), hinge=fids, lr=lr)
    comparison = compare(runs(minimax=[7.0, 7.0]))
    assert list(comparison.best_of["fid"]) == ["hinge"]
    assert comparison.best_of["fid"]["hinge"] == pytest.approx([9, (6 + 6 + 8) / 3, 6], rel=1e-12)


def test_equal_games_in_a_group_are_said(runs):
    runs(hinge=[5.0], folder="once")
    comparison = compare(runs(hinge=[5.0, 6.0], folder="twice"))
    assert comparison.notes == ["hinge has equal runs (seed 0): its interval is too short"]


def test_importance_finds_the_setting_that_matters(runs, tmp_path):
    generator = np.random.default_rng(0)
    for i in range(24):
        lr, width = 10 ** generator.uniform(-4, -2), int(generator.integers(16, 64))
        fid = 20 + 5 * math.log10(lr)
        make_run(tmp_path / str(i), seed=0, fid=[80, fid], lr=lr, generator__width=width)
    found = compare(read([tmp_path])[0]).importance["fid"]
    assert set(found) == {"optimizer.generator.lr", "optimizer.discriminator.lr", "generator.width"}
    assert found["generator.width"] < 0.1
    assert found["optimizer.generator.lr"] + found["optimizer.discriminator.lr"] > 0.5
    few = compare(read([tmp_path / str(i) for i in range(9)])[0])
    assert few.importance == {"fid": {}}
    assert found == compare(read([tmp_path])[0]).importance["fid"]


def test_runs_that_exploded_or_collapsed_are_named_and_marked_where_they_are_counted(runs):
    """At the position: what happens later doesn't matter."""
    records = runs(hinge=[5.0, 6.0, 7.0], minimax=[7.0])
    records[0].rows.append({"round": 200, "health/explosion": 1.0, "health/collapse": 1.0})
    records[1].rows.extend([{"round": 150, "health/collapse": 1.0}, {"round": 200, "health/collapse": 0.0}])
    records[2].rows.append({"round": 250, "health/collapse": 1.0})
    comparison = compare(records)
    notes = [note for note in comparison.notes if "at the position" in note]
    assert [note.partition(" ")[0] for note in notes] == ["exploded", "collapsed"]
    assert all(note.endswith(f": {records[0].source}") for note in notes)
    assert comparison.counted("fid", "hinge") == "3, 1 exploded, 1 collapsed"
    assert comparison.warned("fid", "hinge") == {"exploded": 1, "collapsed": 1}
    assert (comparison.warned("fid", "minimax"), comparison.counted("fid", "minimax")) == ({}, "1")
    early = compare(records, at=150)
    assert early.warned("fid", "hinge") == {"collapsed": 1}


@pytest.mark.parametrize(
    ("recorded", "range"),
    [(None, NON_NEGATIVE), ({"fid": [2, 90]}, (2, 90)), ({}, (None, None)), ({"fid": "wide"}, (None, None))],
)
def test_intervals_stay_within_the_recorded_range(runs, recorded, range):
    """None: a history of an earlier version."""
    records = runs(hinge=[2.5, 80.0, 81.0])
    for row in (row for record in records for row in record.rows if "metrics/fid" in row and recorded is not None):
        row["ranges"] = recorded
    comparison = compare(records)
    assert comparison.ranges == {"fid": range}
    assert comparison.summaries["fid"]["hinge"].interval == mean_interval([2.5, 80.0, 81.0], range)
    assert (
        comparison.curves("metrics/fid", "round")["hinge"].high[-1] == comparison.summaries["fid"]["hinge"].interval[1]
    )


def test_bands_of_probabilities_stay_within_0_and_1(runs):
    records = runs(hinge=[5.0, 6.0, 7.0])
    for record, p in zip(records, (0.99, 0.999, 0.8), strict=True):
        record.rows.append({"round": 200, "probability/fake": p})
    assert comparison_high(records) == mean_interval([0.99, 0.999, 0.8], (0, 1))[1] < 1


def comparison_high(records):
    return compare(records).curves("probability/fake", "round")["hinge"].high[-1]
