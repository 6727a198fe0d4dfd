"""Precisions of training, and that each uses current weights."""

from functools import partial

import pytest
import torch

from gan_research.config.compose import compose_train
from gan_research.data import Digits
from gan_research.networks import StyleGAN2Discriminator, StyleGAN2Generator
from gan_research.regularizers import DRAGAN, R1, Consensus, GradientPenalty, PathLength, Regularizer
from gan_research.training.precision import Forward
from gan_research.training.schedule import Schedule
from gan_research.utils.errors import UserError
from gan_research.utils.tf32 import products, temporarily

PRECISIONS = {"32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "64": torch.float64}
TOLERANCE = {"32": 0.0, "bf16": 0.05, "fp16": 0.005, "64": 1e-4}
"""Of a loss, from the one in float32, over 50 rounds: the rounding of the dtype, and what it grows to."""

SGD = partial(torch.optim.SGD, lr=2.0)


class AfterStep(Regularizer):
    """D's logits on the same reals before and after its step, in the middle of the round."""

    full_precision = False

    def __init__(self):
        super().__init__(weight=0.0)
        self.moved, self.stale, self.kinds = [], [], set()

    def penalty(self, step):
        real, fake = step.real, step.fake
        self.view, self.before = step, step.D(real.images).logits.detach()
        self.kinds |= {real.out.logits.dtype, fake.out.logits.dtype, fake.images.dtype, step.latents.dtype}
        return torch.zeros(len(real.images))

    def after_step(self, player, network):
        if player == "discriminator":
            with torch.no_grad():
                after = self.view.D(self.view.real.images).logits
                fresh = network(self.view.real.images).logits
            self.moved.append((after - self.before).abs().max().item())
            self.stale.append((after - fresh).abs().max().item())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_discriminator_uses_its_new_weights_at_once(precision, play):
    watch = AfterStep()
    gan = play(rounds=3, precision=precision, optimizer=SGD, regularizers={"watch": watch}, schedule=Schedule(2))
    assert len(watch.moved) == 6
    assert min(watch.moved) > 0.1
    assert max(watch.stale) < 0.05  # the rounding of half precision
    wide = torch.float64 if precision == "64" else torch.float32
    assert watch.kinds == {wide}  # losses and images are never in half precision, only the networks are
    assert all(p.dtype == wide for p in gan.parameters())


@pytest.mark.parametrize(("precision", "dtype"), PRECISIONS.items())
def test_the_networks_compute_in_it(precision, dtype, game, play):
    gan = game(rounds=1, precision=precision)
    kinds = []
    for network in (gan.generator, gan.discriminator):
        network.body[0].register_forward_hook(lambda module, inputs, output: kinds.append(output.dtype))
    play(gan=gan)
    assert set(kinds) == {dtype}
    assert len(kinds) == 5


PENALTIES = {"r1": R1, "gradient_penalty": GradientPenalty, "dragan": DRAGAN, "consensus": Consensus}


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_penalties_are_in_float32(precision, penalty, game, play):
    """The penalty of the first update is that of the same game in float32, but for the fakes' rounding."""
    values = []
    for kind in ("32", precision):
        gan = play(rounds=1, precision=kind, regularizers={penalty: PENALTIES[penalty](weight=1.0)}, log_every=100)
        terms = gan.loss_log.flush()
        values.append(next(value.mean().item() for name, value in terms.items() if name.startswith(f"loss/{penalty}")))
    assert values[1] == pytest.approx(values[0], rel=1e-6 if penalty == "r1" else 1e-2)
    assert values[0] > 0


STYLES = {"width": 4, "max_width": 4}


@pytest.mark.parametrize(("name", "penalty"), [("r1", R1), ("path_length", PathLength)])
def test_penalties_of_stylegan2_are_in_float32(name, penalty, play):
    generator = partial(StyleGAN2Generator, **STYLES, w_dim=4, mapping_layers=2)
    discriminator, values = partial(StyleGAN2Discriminator, **STYLES), []
    for kind in ("32", "bf16"):
        networks = {"generator": generator, "discriminator": discriminator}
        regularizers = {name: penalty(weight=1.0, every=1)}
        gan = play(
            rounds=1, precision=kind, regularizers=regularizers, resolution=8, data=Digits(batch_size=8), **networks
        )
        values.append(gan.loss_log.flush()[f"loss/{name}"].mean().item())
    assert values[1] == pytest.approx(values[0], rel=1e-6)
    assert values[0] > 0


@pytest.mark.parametrize("precision", TOLERANCE)
def test_losses_agree_with_those_of_float32_over_50_rounds(precision, play):
    arguments = {"rounds": 50, "log_every": 1000, "resolution": 8, "optimizer": partial(torch.optim.Adam, lr=1e-3)}
    means = []
    for kind in ("32", precision):
        gan = play(data=Digits(batch_size=32), precision=kind, regularizers={"r1": R1(0.1)}, **arguments)
        terms = gan.loss_log.flush()
        means.append({name: value for name, value in terms.items() if name.startswith("loss/")})
    for name, exact in means[0].items():
        assert len(exact) == 50
        assert (means[1][name] - exact).abs().max().item() <= TOLERANCE[precision] * (1 + exact.abs().max().item()), (
            name
        )
    if precision != "32":
        assert any(not torch.equal(means[0][name], means[1][name]) for name in means[0])


def test_each_player_has_a_scaler_of_its_own_and_a_checkpoint_holds_both(play, tmp_path):
    gan = play(rounds=2, precision="fp16")
    d, g = (gan.player_optimizers[player].scaler for player in ("discriminator", "generator"))
    assert d is not g
    d.update(16.0)
    assert (d.get_scale(), g.get_scale()) == (16.0, 65536.0)
    gan.trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = play(rounds=2, precision="fp16", checkpoint=tmp_path / "a.ckpt")
    assert [optimizer.scaler.get_scale() for optimizer in again.player_optimizers.values()] == [16.0, 65536.0]


class Overflowing(Regularizer):
    """A penalty whose gradient overflows once it is scaled up, in the first update only."""

    calls = 0

    def penalty(self, step):
        self.calls += 1
        return step.fake.out.logits * (1e36 if self.calls == 1 else 0.0)


def test_a_step_that_overflows_is_left_out_and_the_scale_lowered(game, play):
    gan = game(rounds=1, precision="fp16", regularizers={"overflowing": Overflowing()}, log_every=1)
    before = [p.clone() for p in gan.discriminator.parameters()]
    play(gan=gan)
    assert all(torch.equal(a, b) for a, b in zip(before, gan.discriminator.parameters(), strict=True))
    assert [optimizer.scaler.get_scale() for optimizer in gan.player_optimizers.values()] == [32768.0, 65536.0]
    assert gan.updates == {"discriminator": 1, "generator": 1}
    assert gan.loss_log.flush()["gradient_norm/discriminator"].item() == 0.0


def test_gradients_are_clipped_after_they_are_unscaled(game, play):
    """An SGD step of rate 1 is as long as the clipped gradient."""
    for precision in ("32", "fp16"):
        gan = game(rounds=1, precision=precision, max_gradient_norm=1e-3, optimizer=partial(torch.optim.SGD, lr=1.0))
        before = [p.detach().clone() for p in gan.generator.parameters()]
        play(gan=gan)
        step = torch.cat([(a - b).flatten() for a, b in zip(before, gan.generator.parameters(), strict=True)])
        assert step.norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_small_gradients_are_not_clipped(play):
    free, held = (play(rounds=3, max_gradient_norm=norm) for norm in (None, 1e6))
    assert all(torch.equal(a, b) for a, b in zip(free.parameters(), held.parameters(), strict=True))


def test_tf32_is_for_gpus(game, play):
    with pytest.raises(UserError, match=r"precision=tf32 is a mode of CUDA GPUs.*set precision=32 or bf16"):
        play(rounds=1, precision="tf32")


def flags():
    return torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="torch before 2.9 has other flags")
def test_float32_is_tf32_only_where_it_was_asked_for(game):
    """On the GPU that isn't here the flags are what counts; penalties are computed without it."""
    gan, gpu, before = game(), torch.device("cuda"), flags()
    players = gan.generator, gan.discriminator, None
    for precision, inside in (("32", "ieee"), ("bf16", "ieee"), ("tf32", "tf32")):
        forward = Forward(*players, precision, gpu, compiled=False)
        with forward.training():
            assert flags() == (inside, inside)
            with forward.full_precision():
                assert flags() == ("ieee", "ieee")
            assert flags() == (inside, inside)
        assert flags() == before
    with pytest.raises(RuntimeError), temporarily(products(tf32=True)):
        raise RuntimeError
    assert flags() == before


def test_other_precisions_are_refused(game, play):
    with pytest.raises(UserError, match="precision=16: give 32, tf32, bf16, fp16 or 64"):
        game(precision="16")
    with pytest.raises(UserError, match=r"trainer\.precision=bf16-mixed would reuse weights cached before a step"):
        play(rounds=1, trainer={"precision": "bf16-mixed"})
    with pytest.raises(UserError, match="max_gradient_norm=0: give a positive one"):
        game(max_gradient_norm=0)
    with pytest.raises(UserError, match="precision='fp8'"):
        compose_train(["precision=fp8"])
