"""The rule of verdicts."""

import pytest
from made_results import PROTOCOL, result, seed_result

from gan_research.reproduction.verdict import verdicts


def texts(found, **others):
    return [verdict.text for verdict in verdicts(found, others)]


LOWER = {"numbers": {"reverse_kl": {"value": 7.0, "tolerance": 0.5}}}


@pytest.mark.parametrize(
    ("modes", "expected"),
    [
        ((7.0, 7.1, 6.9), "reproduced"),
        ((7.5, 7.5), "reproduced"),  # at the edge of the tolerance
        ((6.0, 9.6), "reproduced: better by 0.8, within seed noise"),
        ((8.0, 9.6), "better: by 1.8"),  # each of the two seeds
        ((6.0, 9.6, 8.0), "reproduced: better by 0.867, within seed noise"),
        ((8.0, 8.1, 8.2), "better: by 1.1"),
        ((8.0,), "better: by 1"),
        ((6.4, 6.5), "not reproduced: off by 0.55, more than 0.5"),
        ((1.0, 11.0, 6.0), "not reproduced: off by 1, more than 0.5"),  # whatever the noise
        ((7.0, None, 7.0), "not reproduced: 1 of 3 seeds diverged"),
        ((None, None), "not reproduced: 2 of 2 seeds diverged"),
    ],
)
def test_a_number_of_which_more_is_better(modes, expected):
    assert texts(result(*modes)) == [expected]


@pytest.mark.parametrize(
    ("values", "expected"),
    [((5.0, 5.1), "better: by 1.95"), ((9.0, 9.1), "not reproduced: off by 2.05, more than 0.5")],
)
def test_a_number_of_which_less_is_better(values, expected):
    seeds = [seed_result(i, 0.0, values={"reverse_kl": value}) for i, value in enumerate(values)]
    assert texts(result(seeds=seeds, published=LOWER)) == [expected]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rounds": 10}, "10 of 100 rounds"),
        ({"changes": ["optimizer.generator.lr: 0.1 -> 0.2"]}, "changed: optimizer.generator.lr: 0.1 -> 0.2"),
        ({"seeds": [seed_result(0, 7.0), seed_result(1, 7.0, state="stopped")]}, "1 of 2 seeds of ring unfinished"),
        ({"seeds": [seed_result(0, 7.0, values={"fid": 1.0})]}, "modes isn't measured"),
        ({"seeds": [seed_result(0, 7.0, protocol=PROTOCOL | {"num_fake": 100})]}, "num_fake is 100, not 2500"),
        ({"seeds": [seed_result(0, 7.0, protocol=PROTOCOL | {"ema": True})]}, "ema is True, not False"),
        ({"published": {"numbers": {"modes": {"value": 7.0}}}}, "no tolerance is given"),
    ],
)
def test_what_can_not_be_compared_says_why(change, reason):
    (found,) = verdicts(result(7.0, 7.0, **change), {})
    assert found.word == "not comparable"
    assert reason in found.reason


ORDER = {"numbers": {}, "better_than": {"modes": ["plain"]}}


@pytest.mark.parametrize(
    ("ours", "other", "expected"),
    [
        ((8.0, 8.1, 8.0), (6.0, 6.1, 6.0), "reproduced"),
        ((8.0, 4.0, 6.0), (5.0, 6.0, 4.0), "not reproduced: within seed noise"),
        ((4.0, 4.1, 4.0), (6.0, 6.1, 6.0), "not reproduced"),
        ((8.0,), (6.0,), "not reproduced: within seed noise"),
        ((8.0, 8.1), (6.0, 6.1), "not reproduced: within seed noise"),  # two seeds prove nothing
        ((8.0, 8.0, 8.0), (1.0, 1.0, 1.0), "reproduced"),
        ((8.0, 8.1), (None, None), "reproduced"),
        ((None, None), (8.0, 8.1), "not reproduced"),
        ((None, None), (None, None), "not reproduced"),
    ],
)
def test_an_order(ours, other, expected):
    assert texts(result(*ours, published=ORDER), plain=result(*other, recipe="plain")) == [expected]


def test_an_order_of_numbers_measured_differently_is_none():
    others = [seed_result(i, 6.0, protocol=PROTOCOL | {"extractor": "another"}) for i in range(2)]
    other = result(recipe="plain", seeds=others)
    (text,) = texts(result(8.0, 8.1, published=ORDER), plain=other)
    assert text == "not comparable: another protocol than that of plain: extractor is modes, not another"
    own = [seed_result(i, 6.0, protocol=PROTOCOL | {"batch_statistics": False}) for i in range(3)]
    assert texts(result(8.0, 8.1, 8.2, published=ORDER), plain=result(recipe="plain", seeds=own)) == ["reproduced"]


def test_an_order_without_the_other_is_none():
    assert texts(result(8.0, 8.1, published=ORDER)) == ["not comparable: plain wasn't run at this budget"]


@pytest.mark.parametrize(
    ("modes", "expected"), [((None, None), "reproduced"), ((8.0, None), "not reproduced"), ((8.0,), "not reproduced")]
)
def test_a_published_failure(modes, expected):
    assert texts(result(*modes, published={"numbers": {}, "diverges": True})) == [expected]


def test_what_is_shown_of_a_number():
    (found,) = verdicts(result(7.0, 7.2, 7.1), {})
    assert (found.what, found.published, found.ours) == ("modes", "7 ± 0.25", "7.1 [6.856, 7.353]")
    (two,) = verdicts(result(7.0, 7.2), {})
    assert two.ours == "7.1"
