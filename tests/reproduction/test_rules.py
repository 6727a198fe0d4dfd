"""Rules on the history of evaluations, and the curves that they judge."""

import pytest
from made_results import PROTOCOL, result, seed_result

from gan_research.cli.reproduce import changes
from gan_research.reproduction.published import format_bound, format_subject, rule_value, within_bound
from gan_research.reproduction.result import POINTS
from gan_research.reproduction.verdict import verdicts

VALUES = [3.0, 1.0, 1.0, 4.0, 1.0, 5.0]
RULE = {"column": "modes", "statistic": "max", "since": 20, "at_most": 6, "why": "never covers them"}


@pytest.mark.parametrize(
    ("name", "value", "of_one"),
    [("max", 5, 3), ("min", 1, 3), ("mean", 2.5, 3), ("last", 5, 3), ("changes", 4, 0), ("distinct", 4, 1)],
)
def test_statistics(name, value, of_one):
    curve = list(enumerate(VALUES))
    assert rule_value({"statistic": name}, curve) == value
    assert rule_value({"statistic": name}, curve[:1]) == of_one


def test_evaluations_before_its_first_round_do_not_count():
    curve = [[0, 7.0], [10, 7.0], [20, 5.0], [30, 2.0]]
    assert rule_value(RULE, curve) == 5
    assert rule_value(RULE | {"since": 21}, curve) == 2
    assert rule_value({**RULE, "since": 0}, curve) == 7
    assert rule_value(RULE, curve[:2]) is None


def test_bounds_include_their_ends():
    most, least = {"at_most": 6}, {"at_least": 0.5}
    assert [within_bound(most, value) for value in (5.0, 6.0, 6.001)] == [True, True, False]
    assert [within_bound(least, value) for value in (0.499, 0.5, 0.6)] == [False, True, True]
    assert (format_bound(most), format_bound(least)) == ("at most 6", "at least 0.5")
    assert format_subject(RULE) == "modes, max from round 20"
    assert format_subject({"column": "modes", "statistic": "last"}) == "modes, last"


def with_curves(*curves, **given):
    """A result of seeds whose modes were these at the rounds 0, 10, 20, ..."""
    points = [{"modes": [[10 * i, value] for i, value in enumerate(curve)]} for curve in curves]
    seeds = [seed_result(i, curve[-1], curves=points[i]) for i, curve in enumerate(curves)]
    return result(seeds=seeds, published={"numbers": {}, "trajectory": [RULE]}, **given)


@pytest.mark.parametrize(
    ("curves", "text", "ours"),
    [
        (([8, 8, 6, 2], [0, 0, 5, 6]), "reproduced", "6, 6"),
        (([8, 8, 6, 2], [0, 0, 7, 1]), "not reproduced: violated by 1 of 2 seeds", "6, 7"),
        (([8, 8, 7, 2], [0, 0, 7, 1]), "not reproduced: violated by 2 of 2 seeds", "7, 7"),
        (([8, 8], [0, 0, 7, 1]), "not comparable: modes isn't measured by one protocol at every evaluation", "7"),
    ],
)
def test_every_seed_is_judged_by_itself(curves, text, ours):
    (verdict,) = verdicts(with_curves(*curves), {})
    assert (verdict.text, verdict.ours) == (text, ours)
    assert (verdict.what, verdict.published) == ("modes, max from round 20", "at most 6")


def test_a_seed_that_diverged_breaks_it():
    found = with_curves([8, 8, 6])
    found.seeds.append(seed_result(1))
    (verdict,) = verdicts(found, {})
    assert verdict.text == "not reproduced: 1 of 2 seeds diverged"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"rounds": 10}, "10 of 100 rounds"),
        ({"changes": ["evaluate_every: 10 -> 100"]}, "changed: evaluate_every: 10 -> 100"),
    ],
)
def test_what_can_not_be_compared(given, reason):
    (verdict,) = verdicts(with_curves([8, 8, 6], **given), {})
    assert verdict.text == f"not comparable: {reason}"


def test_another_protocol_is_not_comparable():
    seed = seed_result(0, 6.0, curves={"modes": [[20, 6.0]]}, protocol=PROTOCOL | {"num_fake": 10})
    (verdict,) = verdicts(result(seeds=[seed], published={"numbers": {}, "trajectory": [RULE]}), {})
    assert verdict.text == "not comparable: another protocol: num_fake is 10, not 2500"


def test_a_tracked_column_is_kept_whole(tmp_path):
    from gan_research.report.records import Record
    from gan_research.reproduction.gathering import curve

    rows = [{"round": i, "metrics/modes": i / 3, "protocol": {}} for i in range(3 * POINTS)]
    run = Record("a", "a", "a", rows=rows)
    assert curve(run, "modes", rows, whole=True) == [[i, i / 3] for i in range(3 * POINTS)]
    assert len(curve(run, "modes", rows, whole=False)) == POINTS
    del rows[7]["metrics/modes"]
    assert curve(run, "modes", rows, whole=True) == []


def test_other_evaluations_are_another_protocol_where_their_history_is_judged():
    paper = {"rounds": 100, "evaluate_every": 10, "sample_every": 10}
    fewer = paper | {"evaluate_every": 50, "sample_every": 50}
    assert changes(paper, fewer, ["modes"]) == ["evaluate_every: 10 -> 50"]
    assert changes(paper, fewer) == []
