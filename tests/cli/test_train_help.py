"""`gan train --help` with names of keys and choices."""

import pytest


def test_help_shows_the_keys_of_choices_and_of_names(gan):
    words = ("generator=resnet", "regularizer=[r1,r2]", "optimizer.generator.lr", "rounds=3", "pool.runs")
    words += ("metrics.parzen.every", "experiment", "regularizer.lecam.weight")
    result = gan("train", "--help", *words)
    assert (result.status, result.error) == (0, "")
    shown = {line.split()[0]: line.split() for line in result.output.splitlines() if line.startswith("  ")}
    assert shown["generator.width"][1:5] == ["int", ">", "0", "256"]
    assert shown["regularizer.r1.weight"][4] == "0.1"
    assert shown["regularizer.r2.weight"][4] == "10.0"
    assert shown["optimizer.generator.lr"][1:] == ["float", "0.001"]
    assert shown["rounds"][4] == "5000"
    assert {"pool.runs", "metrics.parzen.every", "regularizer.lecam.weight", "mnist_dcgan"} <= shown.keys()
    assert "optimizer.generator.betas" not in shown


def test_help_of_a_group_lists_its_choices(gan):
    lines = gan("train", "--help", "metrics").output.splitlines()
    assert any(line.startswith("metrics=digits: ") for line in lines)  # which suits the default data
    assert any(line.split()[:1] == ["parzen"] for line in lines)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("generator=resnt", "'resnet'"),
        ("genrator=resnet", "'generator'"),
        ("generator.widht", "'generator.width'"),
        ("lr", "'optimizer.generator.lr'"),
        ("round", "'rounds'"),
        ("regularizer.r1.wieght", "'regularizer.r1.weight'"),
    ],
)
def test_help_suggests_what_is_meant(gan, one_line, word, meant):
    one_line(gan("train", "--help", word), f"did you mean {meant}?")
