"""Numbers with the digits that their uncertainty allows."""

import math

import pytest

from gan_research.report.rounding import rounded


@pytest.mark.parametrize(
    ("value", "uncertainty", "text"),
    [
        (20.4912, (16.39, 24.59), "20.5"),  # ± 4.1
        (20.4912, 1.6, "20.5"),
        (57.9149, 17.2, "58"),
        (5789.4, (5000.0, 6500.0), "5,790"),  # ± 750
        (5789.4, 99.6, "5,790"),  # 99.6 is 100 in two digits
        (0.642312, 0.0112, "0.642"),
        (0.3585, (-7.125, 7.842), "0.4"),
        (-0.02, (-7.1, 7.1), "0.0"),  # not -0.0
        (0.0029, (0.0029, 0.044), "0.0029"),  # an end near 0 of an interval that excludes it
        (5.0, (0.5, 50.0), "5.0"),
        (0.5, (0.5, 50.0), "0.50"),
        (1.2345e-5, 3e-7, "1.234e-05"),
        (1.2345e-5, 3.1e-6, "1.23e-05"),
        (2.5e8, (1e8, 4e8), "2.5e+08"),
        (1.6, 1.6, "1.6"),
        (123456.0, 1234.0, "123,500"),
    ],
)
def test_a_number_has_two_digits_of_its_uncertainty(value, uncertainty, text):
    assert rounded(value, uncertainty) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(8.0, "8"), (1.23456, "1.235"), (12345.6, "12,350"), (0.5, "0.5"), (100.0, "100"), (0, "0"), (1e-5, "1.000e-05")],
)
@pytest.mark.parametrize("uncertainty", [None, 0.0])
def test_without_an_uncertainty_there_are_four_digits(value, text, uncertainty):
    assert rounded(value, uncertainty) == text


def test_numbers_that_are_not_finite():
    assert [rounded(value, 1.0) for value in (math.nan, math.inf)] == ["nan", "inf"]
    assert rounded(1.5, (0.0, math.inf)) == "1.5"
