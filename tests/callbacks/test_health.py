"""Warnings of collapse, signs of life, and the record of a crash."""

import errno
import json
import pickle
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from gan_research.callbacks import Health, Log, SampleGrid, crash_report
from gan_research.callbacks.crash_report import is_own
from gan_research.callbacks.log import accuracy, middle_logit
from gan_research.data import Arrays
from gan_research.distributed import LostProcess
from gan_research.losses import Hinge, LeastSquares, NonSaturating, Wasserstein
from gan_research.losses.base import AdversarialLoss
from gan_research.losses.f_gan import KL, Alpha, ReverseKL, TotalVariation
from gan_research.losses.relativistic import Relativistic
from gan_research.networks import MLPDiscriminator, MLPGenerator, SampleSpec
from gan_research.regularizers import R1, GradientPenalty, Regularizer, WeightClipping
from gan_research.sampling.priors import GaussianPrior
from gan_research.training.gan import GAN
from gan_research.training.loss_log import Diverged
from gan_research.training.schedule import Schedule
from gan_research.utils.errors import UserError
from gan_research.utils.files import as_json
from gan_research.utils.rng import stream_seed

NAN = float("nan")

# --- collapse ------------------------------------------------------------------------------------------------------


def warned(health, rows, every=50, start=0):
    """round -> (health/collapse, the warnings), as these rows are judged one after the other."""
    found = {}
    for n, row in enumerate(rows, start // every + 1):
        gan = SimpleNamespace(round=n * every, loss_log=SimpleNamespace(every=every), loss=Hinge())
        collapse = health.health_check(gan, row)
        found[n * every] = (collapse["health/collapse"], list(health.board.warnings.values()))
    return found


def sure(*accuracies):
    return [{"health/accuracy": a, "samples/spread": 0.5} for a in accuracies]


def test_d_tells_all_fakes_for_so_many_rounds_in_a_row(caplog):
    found = warned(Health(collapse_after=150), sure(1, 1, 0.9989, 0.999, 1, 1, 1, 0.5, 1, 1, 1))
    assert found == {
        **{round: (0.0, []) for round in (50, 100, 150, 200, 250, 400, 450, 500)},
        300: (1.0, ["D recognizes all fakes for 150 rounds"]),
        350: (1.0, ["D recognizes all fakes for 200 rounds"]),
        550: (1.0, ["D recognizes all fakes for 150 rounds"]),
    }
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert [message.partition(": ")[0] for message in caplog.messages] == ["round 300", "round 550"]
    assert caplog.messages[0].startswith("round 300: D recognizes all fakes for 150 rounds: G may learn nothing")


@pytest.mark.parametrize(("spread", "text"), [(0.0099, "0.99 %"), (0.0, "0 %"), (0.01, None), (1.0, None)])
def test_samples_that_hardly_differ(spread, text, caplog):
    found = warned(Health(), [{"samples/spread": spread}] * 2)
    warning = (1.0, [f"samples hardly differ, {text} of what reals do"]) if text else (0.0, [])
    assert found == {50: warning, 100: warning}
    assert len(caplog.messages) == (text is not None)  # once


def test_both_at_once_are_two_warnings(caplog):
    found = warned(Health(collapse_after=1), [{"health/accuracy": 1.0, "samples/spread": 0.0}])
    assert found[50][0] == 1.0
    assert len(found[50][1]) == len(caplog.messages) == 2


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_a_resumed_run_warns_in_the_same_round(cut, caplog):
    rows = sure(0.5, 1, 1, 1, 1)
    whole = warned(Health(collapse_after=150), rows)
    caplog.clear()
    first, second = Health(collapse_after=150), Health(collapse_after=150)
    found = warned(first, rows[:cut])
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert second.board.warnings == first.board.warnings
    assert found | warned(second, rows[cut:], start=50 * cut) == whole
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("collapse_after", [None, 1000])
@pytest.mark.parametrize(
    ("losses", "text"),
    [
        ({"loss/generator": -3.2e17, "loss/discriminator": 5.0}, "training exploded: loss/generator is -3.2e+17"),
        ({"loss/generator": 1e6, "loss/discriminator": 1e8}, "training exploded: loss/discriminator is 1e+08"),
        ({"loss/generator": 999_999.0, "loss/r1": 1e9}, None),
    ],
)
def test_huge_losses_of_a_player_are_an_explosion(collapse_after, losses, text, caplog):
    health = Health(collapse_after=collapse_after)
    gan = SimpleNamespace(round=50, loss_log=SimpleNamespace(every=50), loss=Hinge())
    terms = [health.health_check(gan, losses) for _ in range(2)]
    assert [term.pop("health/explosion") for term in terms] == [float(text is not None)] * 2
    assert terms == [{} if collapse_after is None else {"health/collapse": 0.0}] * 2
    assert list(health.board.warnings.values()) == ([text] if text else [])
    assert len(caplog.messages) == (text is not None)


def test_rows_that_say_nothing_of_it_are_no_collapse():
    assert warned(Health(collapse_after=50), [{}, {}]) == {50: (0.0, []), 100: (0.0, [])}


def test_other_processes_than_the_first_say_nothing(caplog, monkeypatch):
    monkeypatch.setattr("gan_research.callbacks.health.is_rank_zero", lambda: False)
    assert warned(Health(), [{"samples/spread": 0.0}])[50][0] == 1.0
    assert caplog.messages == []


def test_accuracy_is_the_share_of_reals_and_fakes_on_their_side():
    values = {"logits/real": torch.tensor([2.0, 0.1, 0.0, -1.0]), "logits/fake": torch.tensor([-2.0, -0.1, 0.0, -3.0])}
    assert accuracy(NonSaturating(), values) == {"health/accuracy": (2 + 3) / 8}
    assert accuracy(LeastSquares(), values) == {"health/accuracy": (1 + 4) / 8}
    assert accuracy(Wasserstein(), values) == {}


@pytest.mark.parametrize(
    ("loss", "middle"),
    [
        (NonSaturating(), 0.0),
        (Hinge(), 0.0),
        (LeastSquares(), 0.5),
        (LeastSquares(a=-1, b=1, c=0), 0.0),
        (KL(), 1.0),
        (ReverseKL(), 0.0),
        (TotalVariation(), 0.0),
        (Alpha(0.5), -2 - np.log1p(-np.exp(-2))),
        (Wasserstein(), None),
        (Relativistic(NonSaturating()), None),
        (AdversarialLoss(), None),
    ],
)
def test_the_logit_between_real_and_generated(loss, middle):
    assert middle_logit(loss) == (None if middle is None else pytest.approx(middle, abs=1e-9))


class Rows(pl.Callback):
    """round -> the row of the log, and a checkpoint after one round."""

    def __init__(self, log, save_at=None, path=None):
        self.logged, self.save_at, self.path, self.rows = log, save_at, path, {}

    def on_train_batch_end(self, trainer, gan, *args):
        if gan.loss_log.due(gan.round):
            self.rows[gan.round] = {
                k: v for k, v in self.logged.board.row.items() if k.startswith(("health", "samples"))
            }
        if gan.round == self.save_at:
            trainer.save_checkpoint(self.path)


def one_sided(play, rounds=60, save_at=None, path=None, checkpoint=None):
    """A game in which D alone learns: its rows, and Health."""
    log = Log()
    health, rows = Health(collapse_after=15, board=log.board), Rows(log, save_at, path)
    play(
        rounds=rounds,
        log_every=5,
        batch_size=8,
        callbacks=[log, health, rows],
        generator_optimizer=partial(torch.optim.SGD, lr=0.0),
        discriminator_optimizer=partial(torch.optim.Adam, lr=0.1),
        checkpoint=checkpoint,
    )
    return rows.rows, health


def test_a_game_in_which_d_wins(play, tmp_path, caplog):
    rows, health = one_sided(play, save_at=52, path=tmp_path / "a.ckpt")
    assert list(rows) == list(range(5, 61, 5))
    assert rows[5]["health/accuracy"] < 0.999
    told = [round for round, row in rows.items() if row["health/accuracy"] < 0.999]
    assert {round for round, row in rows.items() if row["health/collapse"]} == set(range(told[-1] + 15, 61, 5))
    assert health.board.warnings == {"d_saturated": f"D recognizes all fakes for {60 - told[-1]} rounds"}
    (warning,) = caplog.messages
    assert warning.startswith(f"round {told[-1] + 15}: ")
    caplog.clear()
    again, health_again = one_sided(play, checkpoint=tmp_path / "a.ckpt")
    assert again == {round: rows[round] for round in (55, 60)}
    assert health_again.state_dict() == health.state_dict()
    assert caplog.messages == ([warning] if told[-1] + 15 > 52 else [])


def test_a_generator_that_makes_one_picture(game, play, caplog):
    gan = game(rounds=4, log_every=2, generator_optimizer=partial(torch.optim.SGD, lr=0.0))
    with torch.no_grad():
        for parameter in list(gan.generator.parameters())[-2:]:
            parameter.zero_()
    log = Log()
    rows = Rows(log)
    play(gan=gan, callbacks=[log, Health(board=log.board), rows])
    assert rows.rows.keys() == {2, 4}
    assert all((row["samples/spread"], row["health/collapse"]) == (0.0, 1.0) for row in rows.rows.values())
    assert len(caplog.messages) == 1


def test_reals_that_do_not_differ_are_no_collapse_and_no_divergence(play, tmp_path, caplog):
    np.savez(tmp_path / "one.npz", images=np.full((8, 4, 4), 255, dtype=np.uint8))
    log = Log()
    rows = Rows(log)
    data = Arrays(tmp_path / "one.npz", batch_size=4)
    play(rounds=4, log_every=2, data=data, callbacks=[log, Health(board=log.board), rows])
    assert [row["samples/spread"] for row in rows.rows.values()] == [1.0, 1.0]
    assert caplog.messages == []


def test_a_warning_is_an_alert_when_it_is_new():
    sent, health = [], Health(collapse_after=100)
    trainer = SimpleNamespace(loggers=[SimpleNamespace(log_alert=lambda *alert: sent.append(alert)), SimpleNamespace()])
    alike = {"health/accuracy": 1.0, "samples/spread": 0.001}
    for n, row in enumerate([*sure(1), alike, alike, *sure(0.5), alike], 1):
        warned(health, [row], start=50 * (n - 1))
        health.on_train_batch_end(trainer, SimpleNamespace(round=50 * n))
    assert [(title, level, text.partition(": ")[0]) for title, text, level in sent] == [
        ("D is saturated", "WARN", "round 100"),
        ("Samples collapsed", "WARN", "round 100"),
        ("Samples collapsed", "WARN", "round 250"),
    ]


def test_collapse_is_not_looked_for_where_it_is_not_wanted(play):
    log = Log()
    rows = Rows(log)
    play(rounds=2, log_every=2, callbacks=[log, Health(collapse_after=None, board=log.board), rows])
    assert rows.rows[2].keys() == {"health/accuracy", "health/explosion", "samples/spread"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"on_divergence": "pray"}, r"health\.on_divergence=pray: give stop or roll_back"),
        ({"roll_backs": -1}, r"health\.roll_backs=-1: give 0 or more"),
        ({"stuck_after": 0.0}, r"health\.stuck_after=0\.0: give a number of seconds above 0, or null"),
        ({"stuck_after": NAN}, r"health\.stuck_after=nan"),
        ({"collapse_after": 0}, r"health\.collapse_after=0: give at least 1 round, or null"),
    ],
)
def test_impossible_settings(setting, message):
    with pytest.raises(UserError, match=message):
        Health(**setting)


# --- signs of life -------------------------------------------------------------------------------------------------


def test_rounds_and_what_takes_long_between_them_are_signs_of_life(play, tmp_path, monkeypatch):
    said = []
    for module in ("health", "base"):
        monkeypatch.setattr(f"gan_research.callbacks.{module}.heartbeat", said.append)
    play(rounds=2, callbacks=[Health(folder=tmp_path), SampleGrid(tmp_path, every=2, count=4)])
    grid = "SampleGrid after round {}".format
    assert said == ["the start", grid(0), "round 1", "round 2", "round 3", grid(2), "round 3", "the end of training"]


class Slow(pl.Callback):
    """Stays in one round for a while."""

    def __init__(self, seconds):
        self.seconds = seconds

    def on_train_batch_start(self, trainer, gan, *args):
        if gan.round == 1:
            time.sleep(self.seconds)


def test_a_stuck_round_is_reported(play, tmp_path, capfd):
    play(rounds=3, callbacks=[Health(stuck_after=0.3, folder=tmp_path), Slow(0.8)])
    text = (tmp_path / "stuck" / "rank_0.txt").read_text()
    assert " s in round 2\n" in text
    assert "on_train_batch_start" in text
    assert text.count("is stuck") == 1
    assert "is stuck" in capfd.readouterr().err


def test_nothing_is_watched_where_it_is_not_wanted(play, tmp_path, capfd):
    play(rounds=3, callbacks=[Health(stuck_after=None, folder=tmp_path), Slow(0.5)])
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""


# --- the record of a crash -----------------------------------------------------------------------------------------


class Poison(Regularizer):
    """From D's `at`-th update on (counted from 0): a penalty that is NaN, or an error."""

    def __init__(self, at, error=None):
        super().__init__()
        self.left, self.error = at, error

    def penalty(self, step):
        self.left -= 1
        if self.left < 0 and self.error is not None:
            raise self.error
        return step.fake.out.logits * 0 + (NAN if self.left < 0 else 1.0)


@pytest.fixture
def crashing(play, game, tmp_path, pictures):
    """crashing(poison): the error that ends the game, the run's folder, and the reals that D was shown."""

    def crash(poison, error=Diverged, folder=tmp_path / "run", **arguments):
        folder.mkdir(exist_ok=True)
        components = {"schedule": Schedule(2), "regularizers": {"r1": R1(every=3), "poison": poison}}
        gan = game(rounds=9, seed=5, **components | arguments)
        numbers = {picture.numpy().tobytes(): i for i, picture in enumerate(pictures.images)}
        shown = []

        def note(network, inputs):
            levels = ((inputs[0].detach() + 1) * 127.5).round().to(torch.uint8).numpy()
            found = [numbers.get(picture.tobytes()) for picture in levels]
            if None not in found:
                shown.append(found)

        gan.discriminator.register_forward_pre_hook(note)
        log = Log()
        with pytest.raises(error) as caught:
            play(gan=gan, callbacks=[log, Health(board=log.board, folder=folder)])
        return caught.value, folder, shown

    return crash


def test_a_game_that_diverged_leaves_what_it_takes_to_play_the_round_again(crashing, caplog):
    error, run, shown = crashing(Poison(at=5), log_every=2)
    assert [path.name for path in (run / "crash").iterdir()] == ["round_3.json"]
    said = json.loads((run / "crash" / "round_3.json").read_text(), parse_constant=pytest.fail)
    assert said["error"] == f"Diverged: {error}" == "Diverged: round 3: loss/poison is NaN, training stopped"
    assert said["traceback"][0] == "Traceback (most recent call last):"
    assert (said["round"], said["rounds_played"], said["images_seen"]) == (3, 3, 24)
    assert said["updates"] == {"discriminator": 6, "generator": 3}
    assert (said["seed"], said["roll_backs"]) == (5, 0)
    assert said["stream_seeds"] == {
        "discriminator": stream_seed(5, "discriminator"),
        "generator": stream_seed(5, "generator"),
        "layers of rank 0": stream_seed(5, "layers of rank 0", 2),
    }
    assert said["reals"] == [
        {"update": 4, "positions": [16, 20], "indices": shown[4]},
        {"update": 5, "positions": [20, 24], "indices": shown[5]},
    ]
    assert said["due"] == {
        "discriminator": [{"update": 4, "regularizers": ["poison"]}, {"update": 5, "regularizers": ["poison"]}],
        "generator": [{"update": 2, "regularizers": []}],
    }
    assert said["learning_rates"] == {"discriminator": 0.05, "generator": 0.05}
    assert said["log"]["loss/poison"] == 1.0
    assert said["metrics"] is said["checkpoint"] is None
    assert (said["rank"], said["world_size"], said["device"]) == (0, 1, "cpu")
    assert said["versions"]["torch"] == torch.__version__
    assert caplog.messages == []


def test_reals_of_a_crash_are_those_of_its_schedule(crashing):
    """Those of D's updates, which follow G's with a minibatch of its own."""
    schedule = Schedule(2, 1, first="generator", generator_reals="fresh")
    _, run, shown = crashing(Poison(at=5), log_every=2, schedule=schedule)
    assert json.loads((run / "crash" / "round_3.json").read_text())["reals"] == [
        {"update": 4, "positions": [28, 32], "indices": shown[4]},
        {"update": 5, "positions": [32, 36], "indices": shown[5]},
    ]


def test_so_does_any_other_error(crashing):
    _, run, _ = crashing(Poison(4, ZeroDivisionError("of all things")), error=ZeroDivisionError)
    said = json.loads((run / "crash" / "round_3.json").read_text())
    assert said["error"] == "ZeroDivisionError: of all things"
    assert "in penalty" in "".join(said["traceback"])
    assert (said["round"], said["rounds_played"]) == (3, 2)
    assert [real["update"] for real in said["reals"]] == [4, 5]


@pytest.mark.parametrize("trouble", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("what?")])
def test_a_record_that_can_not_be_written_does_not_hide_the_error(trouble, crashing, monkeypatch, caplog):
    def fail(*args):
        raise trouble

    monkeypatch.setattr(crash_report, "write_atomically", fail)
    crashing(Poison(0))
    expected = [] if isinstance(trouble, OSError) else ["the crash report can't be written: RuntimeError: what?"]
    assert caplog.messages == expected


def test_a_fact_that_can_not_be_told_says_why(crashing, monkeypatch):
    monkeypatch.setattr(crash_report, "versions", lambda: 1 / 0)
    monkeypatch.setattr(crash_report, "reals", lambda *_: 1 / 0)
    _, run, _ = crashing(Poison(0))
    said = json.loads((run / "crash" / "round_1.json").read_text())
    assert said["reals"] == "not available: ZeroDivisionError: division by zero"
    assert said["updates"] == {"discriminator": 2, "generator": 1}


def test_being_stopped_is_no_crash(tmp_path, game):
    Health(folder=tmp_path).on_exception(None, game(), KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == []


def told_of(error, cause=None):
    error.common = True
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "own"),
    [
        (RuntimeError(), True),
        (Diverged("here"), True),
        (told_of(Diverged("elsewhere")), False),
        (told_of(Diverged("elsewhere"), Diverged("and here")), True),
        (LostProcess("gone"), False),
    ],
)
def test_other_processes_write_down_their_own_errors_only(error, own, tmp_path, game, monkeypatch):
    assert is_own(error) is own
    monkeypatch.setattr(crash_report, "is_rank_zero", lambda: False)
    monkeypatch.setattr(crash_report, "rank_and_world_size", lambda: (3, 4))
    progress = SimpleNamespace(current=SimpleNamespace(started=5, processed=4))
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress))
    trainer = SimpleNamespace(fit_loop=loop, datamodule=None)
    written = crash_report.write_crash(tmp_path, trainer, game(), error)
    assert written == (tmp_path / "crash" / "round_1_rank_3.json" if own else None)
    assert (tmp_path / "crash").exists() is own


def test_values_as_json_has_them():
    value = {"a": (1, NAN, [float("inf"), -float("inf")]), 2: None, "t": torch.tensor(1), "ok": True, "x": 0.5}
    assert as_json(value) == {
        "a": [1, "nan", ["inf", "-inf"]], "2": None, "t": "tensor(1)", "ok": True, "x": 0.5,
    }  # fmt: skip


def test_the_round_of_a_divergence_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(told_of(Diverged("round 7: ...", 7))))
    assert (str(error), error.round, error.common) == ("round 7: ...", 7, True)


@pytest.mark.parametrize(
    ("loss", "regularizers", "norm", "warned"),
    [
        (Wasserstein(), {}, "none", True),
        (Wasserstein(), {"r1": R1(1.0)}, "none", True),
        (Wasserstein(), {"clip": WeightClipping()}, "none", False),
        (Wasserstein(), {"gp": GradientPenalty()}, "none", False),
        (Wasserstein(), {}, "spectral", False),
        (Hinge(), {}, "none", None),
    ],
)
def test_a_wasserstein_loss_wants_a_lipschitz_discriminator(loss, regularizers, norm, warned, caplog):
    samples, adam = SampleSpec(resolution=8, channels=1), partial(torch.optim.Adam, lr=1e-3)
    generator = MLPGenerator(latent_dim=2, samples=samples, width=4)
    discriminator = MLPDiscriminator(samples=samples, width=4, norm=norm)
    gan = GAN(generator, discriminator, loss, GaussianPrior(2), adam, adam, regularizers)
    health = Health()
    health.on_train_start(None, gan)
    row = health.health_check(gan, {})
    assert row.get("health/no_lipschitz") == (None if warned is None else float(warned))
    assert [record.message for record in caplog.records].count("round 0: " + NO_LIPSCHITZ) == bool(warned)
    assert row["health/collapse"] == 0.0


NO_LIPSCHITZ = (
    "Wasserstein is trained without a Lipschitz constraint on D: add regularizer=[gradient_penalty] or "
    "[weight_clipping], or spectral norm in D"
)
