"""A run that diverges stops, or goes back and on; a run that looks collapsed says so."""

import json
import logging
import re
import signal
import sys

import pytest

from gan_research.callbacks import Health
from gan_research.config.compose import compose_train
from gan_research.config.keys import GAME
from gan_research.runs.fit import names
from gan_research.training.gan import GAN
from gan_research.utils.errors import DIVERGED
from gan_research.utils.rng import stream_seed
from gan_research.utils.run_folder import read_history

PRIORS = """
from gan_research.sampling.priors import GaussianPrior


class Ours(GaussianPrior):
    '''Of the streams with these seeds it draws NaNs.'''

    def __init__(self, latent_dim: int = 8, bad_streams: list[int] = []):
        super().__init__(latent_dim)
        self.bad_streams = bad_streams

    def sample(self, n, generator):
        return super().sample(n, generator) * (float("nan") if generator.initial_seed() in self.bad_streams else 1.0)
"""


@pytest.fixture
def own_prior(tmp_path, monkeypatch):
    """A user's folder of choices, in which prior=ours names a class of the user's own module."""
    (tmp_path / "their_priors.py").write_text(PRIORS)
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "their_conf"
    (folder / "prior").mkdir(parents=True)
    settings = "latent_dim: 8\nbad_streams: []\n"
    (folder / "prior" / "ours.yaml").write_text(f"# a prior of our own\n_target_: their_priors.Ours\n{settings}")
    yield folder
    sys.modules.pop("their_priors", None)


def latents_of(round, roll_backs=0):
    """The seed of what the discriminator's fakes of that round are made of (seed 0, one update of each a round)."""
    purpose = f"discriminator after roll-back {roll_backs}" if roll_backs else "discriminator"
    return stream_seed(stream_seed(0, purpose), "latents", round - 1)


def bad(*streams):
    return ["prior=ours", f"prior.bad_streams=[{','.join(str(latents_of(*stream)) for stream in streams)}]"]


def resumed(gan, run, *overrides):
    return gan("train", f"resume={run}", "--allow", "their_priors", *overrides)


def test_a_run_that_diverges_in_one_stream_of_latents_goes_back_once_and_to_its_end(
    own_prior, train, the_run, tmp_path, state, rows
):
    result = train(tmp_path / "a", "--config-dir", own_prior, "health=roll_back", *bad((13,)))
    assert (result.status, result.error) == (0, "")
    line = "round 13: logits/fake is NaN, training stopped; back to round 10, with other latents (roll-back 1 of 3)"
    assert result.output.splitlines().count(line) == 1
    run = the_run(tmp_path / "a")
    game = state(run)["gan_research"]
    assert (game["round"], game["roll_backs"]) == (20, 1)
    history = rows(run)
    went_back = [i for i, row in enumerate(history) if "health/roll_backs" in row]
    assert [history[i] for i in went_back] == [{"round": 10, "kimg": 0.64, "health/roll_backs": 1.0}]
    assert [row["round"] for row in history if "loss/generator" in row] == [5, 10, 15, 20]
    assert [row["round"] for row in history] == sorted(row["round"] for row in history)
    assert [row["round"] for row in history if "metrics/fid" in row] == [0, 10, 20]
    assert len(json.loads((run / "run.json").read_text())["segments"]) == 1
    assert {path.name for path in (run / "crash").iterdir()} == {"round_13.json", "round_13.ckpt"}
    # the same up to where it went back to, and another game from there
    assert train(tmp_path / "b", "--config-dir", own_prior, *bad()).status == 0
    plain = rows(the_run(tmp_path / "b"))
    common = went_back[0]
    assert history[:common] == plain[:common]
    assert [row["round"] for row in plain[common:]] == [row["round"] for row in history[common + 1 :]]
    assert all(a != b for a, b in zip(plain[common:], history[common + 1 :], strict=True))


def killed_at(at, roll_backs):
    """A training step at whose start, in that round and after so many roll-backs, the run is killed."""
    play = GAN.training_step

    class Killed(BaseException):
        """What nothing catches."""

    def step(self, *args):
        if (self.round + 1, self.roll_backs) == (at, roll_backs):
            raise Killed
        play(self, *args)

    return step, Killed


@pytest.mark.parametrize("at", [11, 14, 16])
def test_killed_after_it_went_back_it_goes_on_to_the_very_same_end(
    at, own_prior, train, gan, the_run, tmp_path, state, rows, identical, monkeypatch
):
    """Before the first round after the roll-back, before the next checkpoint, and after it."""
    arguments = ("--config-dir", own_prior, "health=roll_back", "checkpoint_every=5", *bad((13,), (19, 1)))
    assert train(tmp_path / "whole", *arguments).status == 0
    step, killed = killed_at(at, 1)
    with monkeypatch.context() as patch:
        patch.setattr(GAN, "training_step", step)
        with pytest.raises(killed):
            train(tmp_path / "cut", *arguments)
    cut, whole = the_run(tmp_path / "cut"), the_run(tmp_path / "whole")
    assert state(cut)["gan_research"]["round"] < at
    result = resumed(gan, cut)
    assert result.status == 0, result.error
    assert state(cut)["gan_research"]["roll_backs"] == 2
    assert rows(cut) == rows(whole)
    assert identical(state(cut), state(whole))
    assert [(row["round"], row["health/roll_backs"]) for row in rows(cut) if "health/roll_backs" in row] == [
        (10, 1.0),
        (15, 2.0),
    ]


@pytest.mark.parametrize("roll_backs", [0, 2])
def test_a_run_that_always_diverges_stops_after_so_many(
    roll_backs, own_config, train, one_line, gan, the_run, tmp_path, state
):
    result = train(
        tmp_path / "a",
        "--config-dir",
        own_config,
        "loss=ours",
        "loss.bad_loss_from=4",
        "health=roll_back",
        f"health.roll_backs={roll_backs}",
    )
    run = the_run(tmp_path / "a")
    crash, last = run / "crash" / "round_4.json", run / "checkpoints" / "last.ckpt"
    line = one_line(
        result,
        "round 4: loss/discriminator is NaN",
        f"{crash} is the crash report",
        f"the last good checkpoint is {last}",
        status=DIVERGED,
    )
    assert ("after 2 roll-backs" in line) is (roll_backs == 2)
    assert result.output.count("back to round 0") == roll_backs
    said = json.loads(crash.read_text())
    assert (said["round"], said["roll_backs"], said["checkpoint"]) == (4, roll_backs, str(last))
    assert said["metrics"]["round"] == 0
    game = state(run)["gan_research"]
    assert (game["round"], game["roll_backs"]) == (0, roll_backs)
    assert gan("sample", run, "-n", "4", "-o", tmp_path / "s.png").status == 0
    # it goes on as it stopped: with no roll-backs left
    again = gan("train", f"resume={run}", "--allow", "their_losses")
    assert one_line(again, "round 4: loss/discriminator is NaN", status=DIVERGED) == line


def test_the_round_can_be_played_again_from_what_was_kept(own_prior, train, gan, one_line, the_run, tmp_path, state):
    assert train(tmp_path / "a", "--config-dir", own_prior, "health=roll_back", *bad((13,))).status == 0
    run = the_run(tmp_path / "a")
    (run / "crash" / "round_13.json").unlink()
    result = resumed(gan, run / "crash" / "round_13.ckpt", "health=default")
    one_line(
        result, "round 13: logits/fake is NaN, training stopped", "round_13.json is the crash report", status=DIVERGED
    )
    said = json.loads((run / "crash" / "round_13.json").read_text())
    assert (said["round"], said["rounds_played"], said["roll_backs"]) == (13, 13, 0)
    assert said["updates"] == {"discriminator": 13, "generator": 13}


def test_diverging_stops_the_run_where_nothing_else_is_said(
    own_prior, train, gan, one_line, the_run, tmp_path, state, rows
):
    one_line(
        train(tmp_path / "a", "--config-dir", own_prior, *bad((13,))), "round 13: logits/fake is NaN", status=DIVERGED
    )
    run = the_run(tmp_path / "a")
    game = state(run)["gan_research"]
    assert (game["round"], game["roll_backs"]) == (10, 0)
    assert [row["round"] for row in rows(run) if "loss/generator" in row] == [5, 10]
    one_line(resumed(gan, run, "log_every=1"), "round 13: logits/fake is NaN", status=DIVERGED)
    assert [row["round"] for row in rows(run) if "loss/generator" in row] == [5, 10, 11, 12]


def test_signals_are_again_what_they_were_before_a_run_that_went_back(own_prior, train, tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    result = train(tmp_path / "a", "--config-dir", own_prior, "health=roll_back", *bad((13,)))
    assert result.status == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)] == before


def test_a_run_that_looks_collapsed_says_so(train, the_run, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        result = train(
            tmp_path / "a", "loss=hinge", "regularizer=none", "optimizer.generator.lr=0", "health.collapse_after=5",
            "optimizer.discriminator.lr=0.05", "metrics=none", "rounds=40", "log_every=5", "logger=csv",
            "progress_seconds=1e-9",
        )  # fmt: skip
    assert result.status == 0, result.error
    (warning,) = [message for message in caplog.messages if "D recognizes all fakes" in message]
    history = list(read_history(the_run(tmp_path / "a") / "history.jsonl"))
    assert [row["round"] for row in history] == list(range(5, 41, 5))
    assert {row["health/collapse"] for row in history} == {0.0, 1.0}
    assert history[-1]["health/accuracy"] >= 0.999
    first = next(row["round"] for row in history if row["health/collapse"])
    assert warning.startswith(f"round {first}: D recognizes all fakes for 5 rounds: ")
    lines = [line for line in result.output.splitlines() if line.startswith("round ")]
    assert [line.split("/")[0] for line in lines if "warning: D recognizes all fakes for" in line] == [
        f"round {n}" for n in range(first, 41)
    ]
    assert "health/collapse" in (the_run(tmp_path / "a") / "metrics.csv").read_text()


def test_health_is_no_part_of_the_game(gan, train, finished, one_line, tmp_path):
    composed = compose_train([])
    other = compose_train(["health=roll_back", "health.stuck_after=null", "health.collapse_after=7"])
    assert names(other) == names(composed)
    assert "health" not in GAME
    one_line(
        gan("train", f"resume={finished}", "health=rollback"), "there is no health=rollback: did you mean 'roll_back'?"
    )
    for setting, message in (
        ("on_divergence=pray", "on_divergence='pray'"),
        ("stuck_after=0", "stuck_after=0"),
    ):
        one_line(train(tmp_path / "new", f"health.{setting}"), f"health.{message}")
        assert not (tmp_path / "new").exists()


def test_the_defaults_are_those_of_the_class():
    config = compose_train([]).config["health"]
    made, given = Health(), Health(**{key: value for key, value in config.items() if key != "_target_"})
    for name in ("on_divergence", "roll_backs", "stuck_after", "collapse_after"):
        assert getattr(made, name) == getattr(given, name)
    assert compose_train(["health=roll_back"]).config["health"] == config | {"on_divergence": "roll_back"}


# --- on two processes ----------------------------------------------------------------------------------------------

TWO = (
    "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "generator.width=16", "discriminator.width=16",
    "metrics=none", "logger=none", "rounds=20", "log_every=5", "checkpoint_every=10", "sample_every=20",
)  # fmt: skip


def test_two_processes_go_back_together(server, own_prior, the_run, tmp_path, state, rows):
    ended = server(
        "train", f"output={tmp_path / 'a'}", "--config-dir", own_prior, "health=roll_back", *TWO, *bad((13,)),
        patch=f"import sys; sys.path.insert(0, {str(tmp_path)!r})",
    )  # fmt: skip
    assert (ended.status, ended.error) == (0, "")
    assert ended.output.count("back to round 10, with other latents (roll-back 1 of 3)") == 1
    run = the_run(tmp_path / "a")
    game = state(run)["gan_research"]
    assert (game["round"], game["roll_backs"]) == (20, 1)
    assert [row["round"] for row in rows(run)] == [5, 10, 10, 15, 20]
    for name, rank in (("round_13", 0), ("round_13_rank_1", 1)):  # both drew the NaNs
        said = json.loads((run / "crash" / f"{name}.json").read_text())
        assert (said["round"], said["rounds_played"], said["rank"], said["world_size"]) == (13, 15, rank, 2)
        assert said["reals"][0]["positions"] == [12 * 64, 13 * 64]


STUCK = """
import os, time
from gan_research.training.gan import GAN

play = GAN.training_step


def stuck(self, *args):
    if self.round == 6 and os.environ.get("RANK") == "1":
        time.sleep(2)
    play(self, *args)


GAN.training_step = stuck
"""


def test_it_is_seen_which_of_two_processes_is_stuck_and_which_only_waits(server, the_run, tmp_path):
    ended = server("train", f"output={tmp_path / 'a'}", "health.stuck_after=1", *TWO, patch=STUCK)
    assert ended.status == 0, ended.error
    folder = the_run(tmp_path / "a") / "stuck"
    waits = "; it waits for the other ranks: the gradients of the discriminator"
    for rank, tail in ((0, waits), (1, "")):
        text = (folder / f"rank_{rank}.txt").read_text()
        # of round 7 alone: where the machine is busy, other rounds may take a second, too
        (line,) = re.findall(rf".* is stuck: \d\.\d s in round 7{tail}\n", text)
        assert line in ended.error
        assert text.count(" is stuck") == text.count(" continues after ")
        if rank == 1:
            assert " in stuck\n" in text  # the stack names the function
