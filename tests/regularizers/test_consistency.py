"""CR, bCR and zCR in closed form, on networks that are linear."""

import pytest
import torch
from moments import SHAPE, N, Quadratic, moment

from gan_research.losses import NonSaturating
from gan_research.regularizers import CR, ZCR, consistency
from gan_research.regularizers.views import flip_and_shift
from gan_research.testing.checks import Case
from gan_research.theory.dirac import DiracGAN
from gan_research.utils.errors import UserError

LATENT_DIM = 5


class WithClasses(Quadratic):
    """D with class logits 2 x_0, -x_1 as an extra."""

    def forward(self, images):
        out = super().forward(images)
        classes = images.flatten(1)[:, :2] * torch.tensor([2.0, -1.0])
        return out._replace(extras={"class_logits": classes})


@pytest.mark.parametrize("extras", [(), ("class_logits",)])
def test_without_a_change_there_is_no_penalty(monkeypatch, extras):
    monkeypatch.setattr(consistency, "flip_and_shift", lambda images, *_: images)
    values = CR(fakes=1.0, extras=extras).penalty(moment(WithClasses(0.7)))
    assert values.tolist() == [0] * N


@pytest.mark.parametrize("fakes", [0.0, 1.0, 0.3])
@pytest.mark.parametrize("packing", [1, 2])
def test_on_a_linear_discriminator_it_is_the_square_of_w_times_the_change(packing, fakes):
    """(w^T (x - T x))^2, at reals and with `fakes` at fakes; D is asked once for each side."""
    discriminator = Quadratic(0.0, packing)
    step = moment(discriminator)
    values = CR(fakes=fakes, shift=0.5).penalty(step)
    assert len(discriminator.asked) == (2 if fakes else 1)
    expected = torch.zeros(N // packing)
    for side, name, weight in ((step.real, "cr_real", 1.0), (step.fake, "cr_fake", fakes)):
        change = discriminator.pack(side.images - flip_and_shift(side.images, step.noise, name, 0.5))
        expected += weight * (discriminator.w * change).flatten(1).sum(1).square()
    assert expected.min() > 0
    assert values.tolist() == pytest.approx(expected.tolist(), rel=1e-4)


def test_the_gradient_goes_through_both_passes_of_d_and_into_no_image():
    discriminator = Quadratic(0.0)
    step = moment(discriminator, want=("real", "fake"))
    views = [flip_and_shift(s.images, step.noise, n) for s, n in ((step.real, "cr_real"), (step.fake, "cr_fake"))]
    change = torch.stack([step.real.images - views[0], step.fake.images - views[1]]).detach()
    slope = (2 * (discriminator.w * change).flatten(2).sum(2)[..., None, None, None] * change).sum(0).mean(0)
    values = CR(fakes=1.0, shift=0.125).penalty(step)
    (got,) = torch.autograd.grad(values.mean(), discriminator.w)
    assert got.flatten().tolist() == pytest.approx(slope.flatten().tolist(), rel=1e-4, abs=1e-5)
    assert not any(images.requires_grad for images in discriminator.asked)


def test_the_change_of_an_extra_is_added_as_a_mean():
    discriminator = WithClasses(0.0)
    step = moment(discriminator)
    of_logits, of_both = (CR(shift=0.5, extras=e).penalty(step) for e in ((), ("class_logits",)))
    classes = [discriminator(x).extras["class_logits"] for x in (step.real.images, discriminator.asked[0])]
    expected = (classes[0] - classes[1]).square().mean(1)
    assert (of_both - of_logits).tolist() == pytest.approx(expected.tolist(), rel=1e-4, abs=1e-5)


def test_points_have_no_views(game):
    with pytest.raises(UserError, match="cr flips and shifts images, and these data are points"):
        DiracGAN(NonSaturating(), {"cr": CR()})
    with pytest.raises(UserError, match=r"cr: shift=1.0: set it to at least 0 and less than 1"):
        CR(shift=1.0)
    with pytest.raises(UserError, match="needs a discriminator whose head provides 'class_logits'"):
        Case((CR(extras=("class_logits",)),)).game()


# --- zCR -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def linear():
    """G(z) = A z as images, A (LATENT_DIM, 18)."""
    matrix = torch.randn(LATENT_DIM, 18, generator=torch.Generator().manual_seed(1)).requires_grad_()
    G = lambda latents: (latents @ matrix).view(-1, *SHAPE)  # noqa: E731
    return matrix, G


def test_zcr_of_a_linear_generator(linear):
    """G's term is -weight * (d^T A A^T d) / (CHW), of mean sigma^2 ||A||_F^2 / (CHW); D's is (w^T A d)^2."""
    matrix, G = linear
    zcr, discriminator = ZCR(sigma=0.1), Quadratic(0.0)
    assert (zcr.discriminator, zcr.generator, ZCR().sigma) == (20, 0.5, 0.05)
    step = moment(discriminator, player="generator", n=20_000, G=G, latent_dim=LATENT_DIM)
    change = 0.1 * step.noise.normal("zcr", LATENT_DIM)
    of_g = zcr.penalty(step)
    assert (of_g + 0.5 * (change @ matrix).square().mean(1)).abs().max().item() < 1e-5
    assert of_g.mean().item() == pytest.approx(-0.5 * 0.01 * matrix.square().sum().item() / 18, rel=0.02)
    step = moment(discriminator, n=20_000, G=G, latent_dim=LATENT_DIM)
    of_d, along = zcr.penalty(step), matrix @ discriminator.w.flatten()
    assert of_d.tolist()[:50] == pytest.approx((20 * (change @ along).square()).tolist()[:50], rel=1e-2, abs=1e-4)
    assert of_d.mean().item() == pytest.approx(20 * 0.01 * along.square().sum().item(), rel=0.03)


def test_zcr_moves_g_apart_and_d_together(linear):
    matrix, G = linear
    discriminator = Quadratic(0.0)
    step = moment(discriminator, player="generator", G=G, latent_dim=LATENT_DIM)
    (in_g,) = torch.autograd.grad(ZCR(sigma=1.0).penalty(step).mean(), matrix)
    assert (in_g * matrix).sum() < 0  # along it, the images of near latents differ more
    assert not discriminator.asked  # G's term doesn't need D
    step = moment(discriminator, G=G, latent_dim=LATENT_DIM)
    penalty = ZCR(sigma=1.0).penalty(step)
    assert not discriminator.asked[0].requires_grad
    assert (torch.autograd.grad(penalty.mean(), discriminator.w)[0] * discriminator.w).sum() > 0
    with pytest.raises(UserError, match="zcr: sigma=0: set a positive one"):
        ZCR(sigma=0)
