"""A recipe's claim and its checks."""

import pytest

from gan_research.reproduction import Published
from gan_research.reproduction.published import mismatches
from gan_research.utils.errors import UserError

CLAIM = {
    "claim": "all modes are found",
    "source": {"paper": "Somebody 2020, table 1", "repository": "some/body@abc", "files": ["a.py", "b.py"]},
    "protocol": "2500 samples",
    "numbers": {"modes": {"value": 8.0, "spread": 0.1, "tolerance": 0.2}},
    "spread": "standard error over 10 trials",
    "tolerance": "two standard errors",
    "evaluation": {"num_fake": 2500, "ema": False},
    "better_than": {"modes": ["worse"], "fid": ["other"]},
}
RULE = {"column": "modes", "statistic": "max", "since": 50, "at_most": 6, "why": "never covers them"}


def test_what_it_says():
    published = Published(**CLAIM)
    assert published.columns == ["modes", "fid"]
    assert published.cited == "Somebody 2020, table 1; some/body@abc (a.py, b.py)"
    assert (published.seeds, published.network) == (1, "published")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": {"files": ["a.py"]}}, "neither a paper nor a repository"),
        ({"numbers": None, "better_than": None}, "no numbers, trajectory, better_than or diverges"),
        ({"trajectory": [RULE, RULE | {"column": ""}]}, r"trajectory\[1\] has no column"),
        ({"trajectory": [RULE | {"why": " "}]}, r"trajectory\[0\] has no why"),
        ({"trajectory": [RULE | {"at_least": 1}]}, "give one of at_most and at_least"),
        ({"trajectory": [{k: v for k, v in RULE.items() if k != "at_most"}]}, "give one of at_most and at_least"),
        ({"trajectory": [RULE | {"column": "largest_mode"}]}, "the number of a class, whose max has no meaning"),
        ({"evaluation": {"num_fakes": 2500}}, "no published.evaluation.num_fakes: did you mean 'num_fake'"),
        ({"numbers": {"modes": {"spread": 1.0}}}, "modes has no value"),
        ({"spread": None}, "has a spread: state in published.spread"),
        ({"tolerance": None}, "has a tolerance: give the reason in published.tolerance"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        Published(**CLAIM | change).check()


def test_what_it_says_is_known():
    Published(**CLAIM).check()


@pytest.mark.parametrize("missing", ["claim", "source", "protocol"])
def test_what_a_node_has_to_say(missing):
    node = {"_target_": "gan_research.reproduction.Published", **CLAIM}
    assert vars(Published.of(node)) == vars(Published(**CLAIM))
    with pytest.raises(UserError, match=f"published has no {missing}"):
        Published.of({key: value for key, value in node.items() if key != missing})
    with pytest.raises(UserError, match=r"there is no published\.protokol: did you mean 'protocol'"):
        Published.of({**node, "protokol": "x"})


def test_how_many_verdicts_there_are_on_it():
    assert Published(**CLAIM).count == 3
    assert Published(**CLAIM | {"trajectory": [RULE, RULE], "diverges": True}).count == 6


def test_a_rule_is_about_columns():
    moves = {"column": "largest_mode", "statistic": "changes", "at_least": 4, "why": "rotates"}
    published = Published(**CLAIM | {"trajectory": [moves, RULE, moves | {"statistic": "distinct"}]})
    assert published.tracked == ["largest_mode", "modes"]
    assert published.columns == ["modes", "largest_mode", "fid"]
    assert Published(**CLAIM | {"numbers": None, "better_than": None, "trajectory": [RULE]}).columns == ["modes"]


def test_in_what_a_protocol_differs():
    found = {"num_fake": 1000, "ema": False, "extractor": "values"}
    assert mismatches({"num_fake": 2500, "ema": False}, found) == ["num_fake is 1000, not 2500"]
    assert mismatches({"ema": False}, found) == []
