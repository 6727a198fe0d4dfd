"""Networks sharded over two processes: the game of one process, and checkpoints for any number of them."""

import pytest
import torch
from cells import OTHERS
from test_equality import TOLERANCE, distance
from together import play_game

from gan_research.checkpoints.io import AtomicCheckpointIO
from gan_research.utils.errors import UserError

CHOSEN = ("simultaneous, two steps of G", "clipped gradients", "lazy penalties", "all that has a state")
"""The lazy penalties have second derivatives; the last has an average, and a checkpoint."""


def play(words, save=None, resume=None):
    """The whole weights and averages after a game, and samples, which each process makes by itself."""
    gan, trainer = play_game(words, strategy="fsdp", resume=resume)
    if save is not None:
        trainer.strategy.checkpoint_io = AtomicCheckpointIO()
        trainer.save_checkpoint(save)
    state = trainer.strategy.lightning_module_state_dict()
    gan.synchronize_buffers()
    samples = gan.sampler().sample(4, seed=0)
    return {name: value.detach().clone() for name, value in state.items()} | {"samples": samples}


def play_chosen(folder):
    played = {name: play(OTHERS[name]) for name in CHOSEN}
    play([*OTHERS[CHOSEN[-1]], "rounds=3"], save=folder / "half.ckpt")
    return played


def resumed(folder):
    return play(OTHERS[CHOSEN[-1]], resume=folder / "half.ckpt")


@pytest.mark.long
def test_sharded_networks_play_the_same_game_and_resume_on_any_number_of_processes(together, tmp_path):
    (tmp_path / "two").mkdir()
    (tmp_path / "one").mkdir()
    ranks, alone = together(2, play_chosen, tmp_path / "two"), play_chosen(tmp_path / "one")
    for name in CHOSEN:
        assert alone[name].keys() == ranks[0][name].keys()
        assert all(torch.equal(ranks[0][name][key], ranks[1][name][key]) for key in alone[name])
        assert distance(ranks[0][name], alone[name]) < TOLERANCE, name
    never_sharded = resumed(tmp_path / "one")
    assert distance(resumed(tmp_path / "two"), never_sharded) < TOLERANCE
    assert distance(together(2, resumed, tmp_path / "one")[0], never_sharded) < TOLERANCE
    assert distance(together(2, resumed, tmp_path / "two")[0], never_sharded) < TOLERANCE


def refusal(words):
    with pytest.raises(UserError) as caught:
        play(words)
    return {"said": torch.tensor(list(str(caught.value).encode()))}


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["regularizer=[consensus]"], "regularizer consensus"),
        (["regularizer=[orthogonal]"], "regularizer orthogonal"),
        (["unrolling=unrolled", "loss=minimax"], "unrolling"),
        (["ema=power", "ema.buffers=recompute", "generator=dcgan", "generator.width=4"], "ema.buffers=recompute"),
    ],
)
def test_games_that_need_whole_weights_are_refused(words, key, together):
    said = bytes(together(2, refusal, words)[0]["said"].tolist()).decode()
    assert said.startswith(f"trainer=fsdp doesn't go with {key}: ")
