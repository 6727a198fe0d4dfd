"""Two and four processes play the game that one plays: to 1e-6 in float64, all of them bit for bit the same."""

import pytest
import torch
from cells import IMPOSSIBLE, LOSSES, OTHERS, REGULARIZERS, matrix, overrides, representative
from together import play_game, result

from gan_research.utils.errors import UserError

TOLERANCE = 1e-6


def play_all(cells, strategy="ddp"):
    return {name: result(play_game(words, strategy=strategy)[0]) for name, words in cells.items()}


def distance(a, b):
    return max((x.double() - y.double()).abs().max().item() for x, y in zip(a.values(), b.values(), strict=True))


def check(cells, ranks, alone):
    """Every cell that differs, with its distance."""
    wrong = {}
    for name in cells:
        first = ranks[0][name]
        assert first.keys() == alone[name].keys()
        for other in ranks[1:]:
            if not all(torch.equal(first[key], other[name][key]) for key in first):
                wrong[name] = "the processes differ"
        if (apart := distance(first, alone[name])) > TOLERANCE:
            wrong[name] = apart
        moved = distance(alone[name], {key: torch.zeros_like(value) for key, value in alone[name].items()})
        assert moved > 0.1, name
    return wrong


def test_every_loss_and_every_regulariser_is_among_the_cells():
    for cells in (matrix(), representative()):
        names = [name.split(", ")[:2] for name in cells]
        assert {loss for loss, _ in names} == set(LOSSES)
        assert {regularizer for _, regularizer in names} == set(REGULARIZERS)
    settings = {tuple(name.split(", ")[2:]) for name in matrix()}
    assert len(settings) == 24  # k, accumulation, packing and networks, in all combinations


def test_a_small_part_of_the_matrix(together, cells_alone):
    cells = dict(list(representative().items())[::3]) | OTHERS
    assert check(cells, together(2, play_all, cells), cells_alone(cells)) == {}


@pytest.mark.long
@pytest.mark.parametrize("size", [2, 4])
def test_a_representative_part_of_the_matrix(size, together, cells_alone):
    cells = representative() | OTHERS
    cells = dict(list(cells.items())[:: size // 2])  # four processes take their time on two cores
    assert check(cells, together(size, play_all, cells), cells_alone(cells)) == {}


@pytest.mark.long
@pytest.mark.parametrize("size", [2, 4])
def test_the_whole_matrix(size, together, cells_alone):
    cells = matrix()
    assert check(cells, together(size, play_all, cells), cells_alone(cells)) == {}


@pytest.fixture(scope="module")
def cells_alone():
    """cells -> what one process makes of each; played once."""
    played = {}

    def alone(cells):
        played.update(play_all({name: words for name, words in cells.items() if name not in played}))
        return played

    return alone


@pytest.mark.parametrize("strategy", ["ddp_zero", "ddp_lightning"])
def test_other_strategies_play_the_same_game(strategy, together, cells_alone):
    chosen = ["simultaneous, two steps of G", "classes, projection, accumulation", "lazy penalties", "points"]
    chosen += ["generator first, penalties in their own step"]
    cells = {name: OTHERS[name] for name in chosen}
    assert check(cells, together(2, play_all, cells, strategy), cells_alone(cells)) == {}


def test_impossible_pairs_are_refused_on_one_device_too():
    with pytest.raises(UserError, match=r"RelativisticAverage needs the whole minibatch.* set accumulation=1"):
        play_game(overrides("ra_gan", "none", 1, 2, 1, "mlp"))
    with pytest.raises(UserError, match="label_smoothing requires logits that are log-odds"):
        play_game(overrides("wasserstein", "label_smoothing", 1, 1, 1, "mlp"))
    with pytest.raises(UserError, match="Consensus needs the whole minibatch"):
        play_game(overrides("minimax", "consensus", 1, 2, 1, "mlp"))
    assert len(IMPOSSIBLE) == 3
