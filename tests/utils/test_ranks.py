"""Variables of ranks: those of a process of a group, or none."""

import pytest

from gan_research.utils.errors import UserError
from gan_research.utils.ranks import require_ranks

TWO = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "here", "MASTER_PORT": "29500"}


@pytest.mark.parametrize("variables", [{}, TWO, {"WORLD_SIZE": "1"}, {"RANK": "0"}, TWO | {"LOCAL_RANK": "0"}])
def test_ranks_of_a_group_or_none(variables):
    require_ranks(variables)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        *(
            ({name: value}, name)
            for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE")
            for value in ("", "a", "-1", "1.0", "٣")
        ),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE=0"),
        ({"RANK": "2"}, "RANK=2"),
        ({"LOCAL_RANK": "7"}, "LOCAL_RANK=7"),
        ({"RANK": None}, "RANK isn't"),
        ({"LOCAL_RANK": None}, "LOCAL_RANK isn't"),
        ({"MASTER_ADDR": ""}, "MASTER_ADDR isn't"),
        ({"MASTER_PORT": None}, "MASTER_PORT isn't"),
        ({"MASTER_PORT": "http"}, "MASTER_PORT=http"),
        ({"MASTER_PORT": "70000"}, "MASTER_PORT=70000"),
        ({"WORLD_SIZE": None}, "RANK=1"),
    ],
)
def test_other_values_are_named(change, name):
    variables = {key: value for key, value in (TWO | change).items() if value is not None}
    with pytest.raises(UserError, match=name):
        require_ranks(variables)
