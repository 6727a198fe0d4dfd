"""Several evaluations of one run."""

import pytest

from gan_research.callbacks import Blackboard, Evaluate
from gan_research.metrics import Classifier, Evaluation, Evaluations, Values
from gan_research.utils.errors import UserError


def digits(*metrics, **options):
    return Evaluation(Classifier("digits"), metrics, num_samples=100, **options)


def parzen():
    return Evaluation(Values(), ["parzen"], num_samples=100)


def test_columns_are_those_of_all_the_first_first():
    both = Evaluations({"parzen": parzen(), "digits": digits("fid", "inception_score")})
    assert list(both.columns.items()) == [("parzen", "max"), ("fid", "min"), ("inception_score", "max")]
    assert not both.is_prepared


@pytest.mark.parametrize(
    ("first", "second", "advice"),
    [
        (["fid", "rarest_class"], ["fid", "modes"], "both measure fid, in one column: metrics.b.metrics=[modes]"),
        (["inception_score"], ["inception_score"], "both measure inception_score, in one column: leave b out"),
        (["largest_mode"], ["largest_mode", "modes"], "both measure largest_mode, in one column"),
    ],
)
def test_two_evaluations_of_one_column_are_refused(first, second, advice):
    with pytest.raises(UserError) as error:
        Evaluations({"a": digits(*first), "b": digits(*second)})
    assert advice in str(error.value)


class Counting:
    """An evaluation of one column: how often it was called."""

    is_prepared, seed = True, 0

    def __init__(self, column, every=None):
        self.columns, self.measured, self.every, self.count = {column: "min"}, [column], every, 0
        self.ranges = {}

    def __call__(self, source):
        self.count += 1
        return {column: float(self.count) for column in self.columns}

    def adapt(self, sampler):
        return sampler

    def protocol(self, **how):
        return type("Protocol", (), {"as_dict": lambda self: {}})()


def test_each_has_its_interval_and_all_are_measured_at_both_ends(play):
    board, often, seldom = Blackboard(), Counting("a", every=2), Counting("b")
    evaluate = Evaluate(Evaluations({"a": often, "b": seldom}), every=5, board=board)
    play(rounds=9, callbacks=[evaluate])
    assert (often.count, seldom.count) == (6, 3)  # 0 2 4 6 8 9, 0 5 9
    assert board.metrics == {"a": 6.0, "b": 3.0} == board.last_metrics
    assert board.first_metrics == {"a": 1.0, "b": 1.0}
    assert board.measured == {"a": 9, "b": 9}
    state = evaluate.state_dict()

    resumed = Evaluate(Evaluations({"a": often, "c": Counting("c")}), every=5)
    resumed.load_state_dict(state)
    resumed.board.add_metrics({"a": 7.0, "c": 1.0}, round=12)
    assert resumed.board.last_metrics == {"a": 7.0, "c": 1.0}  # b isn't measured any more
    assert resumed.board.first_metrics == {"a": 1.0, "b": 1.0, "c": 1.0}


def test_the_state_of_earlier_versions_is_read():
    evaluate = Evaluate(Counting("fid"), every=5)
    evaluate.load_state_dict({"round": 3, "latest": {"fid": 2.0}, "first": {"fid": 8.0}})
    assert (evaluate.board.metrics_round, evaluate.board.last_metrics) == (3, {"fid": 2.0})
    evaluate.load_state_dict({"round": None, "latest": {}, "first": {}})
    assert (evaluate.board.metrics_round, evaluate.board.last_metrics) == (None, {})
