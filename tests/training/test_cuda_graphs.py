"""A captured run equals an eager one: with recorded operations on the CPU, with CUDA graphs on a GPU."""

from copy import deepcopy
from functools import partial
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
import yaml

from gan_research.augmentations import InstanceNoise
from gan_research.config.build import make
from gan_research.config.compose import conf_folder
from gan_research.data import Digits
from gan_research.losses import NonSaturating, Relativistic
from gan_research.networks import DCGANDiscriminator, DCGANGenerator, MLPDiscriminator
from gan_research.networks.heads import MultiHingeHead
from gan_research.regularizers import (
    DRAGAN,
    R1,
    R2,
    Consensus,
    GradientPenalty,
    LabelSmoothing,
    LeCam,
    Orthogonal,
    Regularizer,
    WeightClipping,
    ZeroCentered,
)
from gan_research.testing.recorded_capture import RecordedCapture
from gan_research.training.cuda_graphs import WARM_UP
from gan_research.training.ema import EMA
from gan_research.training.schedule import Schedule
from gan_research.utils.errors import UserError

ROUNDS, LOG_EVERY = 27, 2

MLP = partial(MLPDiscriminator, width=8, depth=1)
DCGAN = {"generator": partial(DCGANGenerator, width=4), "resolution": 8}

CASES = {
    "alternating": {},
    "simultaneous": {"schedule": Schedule(2, 2, "simultaneous")},
    "k=2, gradient penalty": {"schedule": Schedule(2), "regularizers": {"gp": GradientPenalty()}},
    "R1 + R2": {"regularizers": {"r1": R1(0.1), "r2": R2(0.1)}},
    "lazy R1": {"regularizers": {"r1": R1(0.1, every=3)}},
    "instance noise": {"augmentations": {"noise": InstanceNoise(0.3, anneal=20)}},
    "lecam": {"regularizers": {"lecam": LeCam(decay=0.9)}},
    "dropout": {"discriminator": partial(MLP, dropout=0.5), "schedule": Schedule(2)},
    "batch norm": {**DCGAN, "discriminator": partial(DCGANDiscriminator, width=4, norm="batch")},
    "spectral norm": {**DCGAN, "discriminator": partial(DCGANDiscriminator, width=4, norm="spectral")},
    "packing": {"discriminator": partial(MLP, packing=2), "regularizers": {"gp": GradientPenalty()}},
    "conditional": {"num_classes": 3, "regularizers": {"r1": R1(0.1)}},
    "conditional images": {**DCGAN, "num_classes": 10, "discriminator": partial(DCGANDiscriminator, width=4)},
    "more fakes for G": {"schedule": Schedule(1, 2, "alternating", 3), "num_classes": 3},
    "consensus": {"regularizers": {"consensus": Consensus(0.1, every=2)}},
    "the others": {
        "regularizers": {
            "dragan": DRAGAN(0.1), "zero": ZeroCentered(0.1), "smooth": LabelSmoothing(), "orthogonal": Orthogonal(),
            "clipping": WeightClipping(0.1),
        },
    },
    "relativistic": {"loss": Relativistic(NonSaturating())},
    "bf16": {"precision": "bf16", "regularizers": {"r1": R1(0.1)}},
    "float64": {"precision": "64", "regularizers": {"gp": GradientPenalty()}},
}  # fmt: skip
ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


class Terms(pl.Callback):
    """All terms of each interval."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, gan, *args):
        if gan.loss_log.due(gan.round):
            self.seen.append(gan.loss_log.flush())


@pytest.fixture
def captures(monkeypatch):
    """The tapes that games on the CPU make."""
    made = []
    monkeypatch.setattr(
        "gan_research.training.cuda_graphs.CudaGraphCapture", lambda device: made.append(RecordedCapture()) or made[-1]
    )
    one_hot = torch.nn.functional.one_hot  # on a GPU torch doesn't look at the labels
    monkeypatch.setattr("torch.nn.functional.one_hot", lambda y, n: torch.eye(n, dtype=y.dtype)[y])
    assert one_hot(torch.tensor([2, 0]), 3).equal(torch.nn.functional.one_hot(torch.tensor([2, 0]), 3))
    return made


def played(play, case, graphs, rounds=ROUNDS, **arguments):
    """The game of a case, as it ended, and its terms."""
    terms, more = Terms(), deepcopy(CASES[case])  # regularisers have buffers
    if more.get("resolution") == 8:
        more["data"] = Digits(batch_size=8)
    arguments = {"callbacks": [], "log_every": LOG_EVERY, "ema": EMA(decay=0.5), "max_gradient_norm": 0.5} | arguments
    arguments["callbacks"] = [terms, *arguments["callbacks"]]
    adam = partial(torch.optim.Adam, lr=1e-2)
    gan = play(rounds=rounds, optimizer=adam, cuda_graphs=graphs, **more, **arguments)
    return SimpleNamespace(state=gan.state_dict(), terms=terms.seen, updates=gan.updates)


def distance(first, second):
    """The largest difference of two games, of their states and of their terms, which have the same names."""
    pairs = list(zip([first.state, *first.terms], [second.state, *second.terms], strict=True))
    assert all(list(a) == list(b) for a, b in pairs)
    return max((a[name].double() - b[name].double()).abs().max().item() for a, b in pairs for name in a)


@pytest.mark.parametrize("case", CASES)
def test_a_captured_game_is_the_eager_one(case, play, captures):
    """Bit for bit: weights, average, buffers of both, and each term of each round."""
    eager, captured = played(play, case, False), played(play, case, True)
    assert distance(eager, captured) == 0
    assert captured.updates == eager.updates
    (made,) = captures
    assert made.captures >= 2
    assert made.warm_ups + made.replays == sum(eager.updates.values()) - meetings(case)


def meetings(case):
    """How often both players were updated at once."""
    return ROUNDS if case == "simultaneous" else 0


@pytest.mark.parametrize("cut", [5, 12])
@pytest.mark.parametrize("case", ["dropout", "lazy R1", "batch norm"])
def test_a_captured_game_is_resumed(case, cut, play, captures, tmp_path):
    """In the middle of an interval too; from an eager game as from a captured one."""

    class Stop(pl.Callback):
        def on_train_batch_end(self, trainer, gan, *args):
            if gan.round == cut:
                trainer.save_checkpoint(tmp_path / "cut.ckpt")
                trainer.should_stop = True

    whole = played(play, case, False)
    for before in (False, True):
        first = played(play, case, before, callbacks=[Stop()])
        rest = played(play, case, True, checkpoint=tmp_path / "cut.ckpt")
        assert distance(whole, SimpleNamespace(state=rest.state, terms=first.terms + rest.terms)) == 0


def test_each_kind_of_update_is_captured_after_its_own_warm_up(play, captures):
    """R1 in every third update of D, logged every second round: four kinds of D's updates, two of G's."""
    played(play, "lazy R1", True)
    (made,) = captures
    assert (made.captures, made.warm_ups) == (6, 6 * WARM_UP)


@pytest.mark.parametrize("name", sorted(path.stem for path in (conf_folder() / "loss").glob("*.yaml")))
def test_every_loss_can_be_captured(name, play, captures):
    loss = make(yaml.safe_load((conf_folder() / "loss" / f"{name}.yaml").read_text()))
    rounds = WARM_UP + 4  # the last round is logged, which is another kind of update
    of_classes = {"num_classes": 3, "discriminator": partial(MLPDiscriminator, width=8, head=MultiHingeHead)}
    options = {"loss": loss, **(of_classes if loss.needs_extras else {})}
    games = [play(rounds=rounds, cuda_graphs=graphs, **options).state_dict() for graphs in (False, True)]
    assert all(torch.equal(games[0][key], games[1][key]) for key in games[0])
    assert captures[0].replays == 6


@pytest.mark.parametrize(
    ("arguments", "misfit"),
    [
        ({"accumulation": 2}, "accumulation=2"),
        ({"precision": "fp16"}, "precision=fp16"),
        ({"compile": True}, "compile=true"),
    ],
)
def test_what_cannot_be_captured_is_refused(arguments, misfit, game):
    with pytest.raises(UserError, match=rf"^cuda_graphs=true and {misfit} don't go together: set cuda_graphs=false"):
        game(cuda_graphs=True, **arguments)


def test_the_cpu_is_refused(play):
    with pytest.raises(UserError, match="cuda_graphs=true needs a CUDA GPU, and this run is on the CPU"):
        play(cuda_graphs=True)


class Waits(Regularizer):
    """A penalty that looks at a number."""

    def penalty(self, step):
        logits = step.real.out.logits
        return logits * float(logits.mean().item() > 0)


class DrawsMore(Regularizer):
    """A penalty that draws more noise from some time on."""

    def __init__(self, calls):
        super().__init__()
        self.left = calls

    def penalty(self, step):
        self.left -= 1
        return step.real.out.logits + sum(step.noise.normal("more").mean() for _ in range(self.left < 0))


NOT_CAPTURABLE = [
    (Waits(), r"^the update of discriminator can't be captured: set cuda_graphs=false \(.* when stream is capturing"),
    (DrawsMore(1), "^more isn't drawn in every update of its kind: set cuda_graphs=false"),
    (DrawsMore(WARM_UP), "^more isn't drawn in every update of its kind: set cuda_graphs=false"),
]


@pytest.mark.parametrize(("regularizer", "message"), NOT_CAPTURABLE)
def test_an_update_that_turns_out_not_to_be_capturable_is_an_error(regularizer, message, play, captures):
    with pytest.raises(UserError, match=message):
        play(rounds=6, regularizers={"it": regularizer}, cuda_graphs=True)


@ON_GPU
@pytest.mark.parametrize("case", CASES)
def test_a_game_captured_on_a_gpu_is_the_eager_one(case, play):
    """To rounding: cuBLAS and cuDNN may choose other algorithms on another stream, and some add in any order."""
    precision = {} if "precision" in CASES[case] else {"precision": "64"}
    games = [
        played(play, case, graphs, trainer={"accelerator": "gpu", "devices": 1}, **precision)
        for graphs in (False, True)
    ]
    assert distance(*games) < (0.05 if case == "bf16" else 1e-8)
