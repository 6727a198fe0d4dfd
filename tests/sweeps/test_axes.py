"""Hydra's sweep syntax, as a grid and as a search space."""

import pytest

from gan_research.sweeps.points import Axis, examples, grid, split
from gan_research.utils.errors import UserError


@pytest.mark.parametrize(
    ("word", "axis"),
    [
        ("loss=hinge,minimax", Axis("loss", ("hinge", "minimax"))),
        ("seed=range(0,3)", Axis("seed", ("0", "1", "2"))),
        ("x=range(0,1,0.5)", Axis("x", ("0.0", "0.5"))),
        ("regularizer=[r1],[r1,r2]", Axis("regularizer", ("[r1]", "[r1,r2]"))),
        ("+new=choice(a,b,a)", Axis("+new", ("a", "b"))),
        ("name='a b',c", Axis("name", ("'a b'", "c"))),
        ("x=interval(0,1.5)", Axis("x", None, 0, 1.5)),
        ("x=tag(log,interval(1e-5,1e-2))", Axis("x", None, 1e-5, 1e-2, log=True)),
        ("k=int(interval(1,10))", Axis("k", None, 1, 10, integer=True)),
        ("x=choice(1)", Axis("x", ("1",))),
    ],
)
def test_what_is_varied(word, axis):
    assert split(["rounds=5", word]) == (["rounds=5"], [axis])


def test_what_is_not_varied_stays_as_it_was_written():
    words = ["a=[1,2]", "b={x: 1}", "~c", "d='e,f'", "g="]
    assert split(words) == (words, [])


def test_the_last_value_of_a_key_counts():
    assert split(["x=1,2", "x=3,4"])[1] == [Axis("x", ("3", "4"))]


def test_a_grid_is_every_combination_the_last_axis_the_fastest():
    points = grid(split(["loss=a,b", "seed=0,1,2"])[1])
    assert [(p["loss"], p["seed"]) for p in points] == [(a, s) for a in "ab" for s in "012"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("x=interval(1,1)", "give an interval from a smaller number to a larger one"),
        ("x=tag(log,interval(0,1))", "a smaller positive number"),
        ("x=range(0,3,0)", "a step other than 0"),
        ("x=range(3,0)", "has no value"),
        ("x=glob(*)", "glob is not supported, give the choices"),
        ("x=choice(1", "x=choice(1 can't be read"),
    ],
)
def test_what_cannot_be_varied(word, said):
    with pytest.raises(UserError) as error:
        split([word])
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_an_interval_has_no_grid():
    with pytest.raises(UserError, match="x is an interval, which a grid can't list: give values, or add sweep=optuna"):
        grid(split(["x=interval(0,1)"])[1])


def test_examples_are_all_combinations_or_each_value_once_where_they_are_many():
    few = split(["a=1,2", "b=tag(log,interval(0.1,1))", "seed=7,8,9"])[1]
    assert examples(few) == [[f"a={a}", f"b={b}", "seed=7"] for a in (1, 2) for b in (0.1, 1.0)]
    many = split(["a=range(0,30)", "b=range(0,30)"])[1]
    found = examples(many)
    assert len(found) == 59
    for key in "ab":
        assert {word for point in found for word in point if word.startswith(key)} == {f"{key}={n}" for n in range(30)}
