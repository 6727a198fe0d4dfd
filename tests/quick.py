"""Which cases `make test` plays; `make test-all` plays all of them."""

import pytest


def long_but(cases, kept):
    """The cases, marked as long unless they are in `kept`."""
    assert set(kept) <= set(cases)
    return [case if case in kept else pytest.param(case, marks=pytest.mark.long) for case in cases]
