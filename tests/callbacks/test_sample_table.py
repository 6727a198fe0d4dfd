"""The table of samples: each with D's logit, its class, and the nearest real image."""

from types import SimpleNamespace

import pytest
import torch

from gan_research.callbacks import sample_table
from gan_research.callbacks.sample_table import SampleTable, nearest
from gan_research.data import Arrays
from gan_research.networks import MLPDiscriminator
from gan_research.utils.images import to_uint8


def test_the_nearest_real_is_that_of_a_loop(monkeypatch):
    monkeypatch.setattr(sample_table, "BLOCK", 3 * 32)  # three reals at once
    generator = torch.Generator().manual_seed(0)
    images, reals = (torch.randint(0, 256, (n, 2, 4, 4), generator=generator, dtype=torch.uint8) for n in (5, 20))
    images[3] = reals[17]
    found, apart = nearest(images, reals)
    squares = (images[:, None].double() - reals[None].double()).square().flatten(2).mean(2)
    assert found.tolist() == squares.argmin(1).tolist()
    assert apart.tolist() == pytest.approx(squares.min(1).values.sqrt().tolist(), rel=1e-5)
    assert (found[3].item(), apart[3].item()) == (17, 0.0)


class Taker:
    """A logger that takes tables of five rows."""

    sample_rows = 5

    def __init__(self):
        self.tables = []

    def log_samples(self, table, round):
        self.tables.append((round, table))


def tables_of(gan, data, loggers):
    trainer = SimpleNamespace(loggers=loggers, is_global_zero=True, datamodule=data)
    SampleTable(10).act(trainer, gan)


@pytest.mark.parametrize("packing", [1, 2])
def test_a_row_is_a_sample_of_the_grid_and_what_d_says_of_it(game, pictures, packing):
    def discriminator(samples):
        return MLPDiscriminator(samples, width=8, depth=1, packing=packing)

    classes = 3 if packing == 1 else 0
    gan, taker = game(num_classes=classes, discriminator=discriminator), Taker()
    data = Arrays(pictures.classes, batch_size=4)
    data.setup()
    tables_of(gan, data, [SimpleNamespace(), taker])
    ((round, table),) = taker.tables
    assert round == 0
    assert {len(column) for column in table.values()} == {5}
    floats = gan.sampler().sample(6, seed=gan.seed)
    labels = torch.arange(6) % 3 if classes else None
    assert torch.equal(table["sample"], to_uint8(floats, gan.generator.value_range)[:5])
    with torch.no_grad():
        logits = gan.discriminator(floats, *([] if labels is None else [labels])).logits.repeat_interleave(packing)
    assert table["logit of D"] == pytest.approx(logits[:5].tolist(), abs=1e-6)
    assert table.get("class") == ([0, 1, 2, 0, 1] if classes else None)
    found, _ = nearest(table["sample"], pictures.images[:, None])
    assert torch.equal(table["nearest real"], pictures.images[found][:, None])
    assert table["class of the nearest"] == (found % 3).tolist()


def test_without_a_logger_that_takes_it_nothing_is_computed(game):
    tables_of(game(), None, [SimpleNamespace()])
