"""The GAN in a Trainer as users of Lightning build one: their own loaders, loggers, callbacks and limits."""

import csv

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from torch.utils.data import DataLoader, Dataset, TensorDataset

from gan_research.callbacks import Evaluate, Log
from gan_research.metrics import FID, KID, Classifier, Evaluation, IntraClassFID
from gan_research.training.schedule import Schedule
from gan_research.utils.errors import UserError


class Dicts(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return {"image": torch.zeros(1, 4, 4), "label": 0}


def loader(*tensors, batch_size=4, **options):
    return DataLoader(TensorDataset(*tensors), batch_size=batch_size, **options)


def trained(gan, loader, tmp_path, checkpoint=None, **options):
    """Return the trained game and its trainer."""
    settings = {"logger": False, "enable_checkpointing": False, "max_epochs": -1} | options
    trainer = pl.Trainer(
        accelerator="cpu", default_root_dir=tmp_path, enable_progress_bar=False, enable_model_summary=False, **settings
    )
    trainer.fit(gan, loader, ckpt_path=checkpoint, weights_only=checkpoint and True)
    return gan, trainer


IMAGES = torch.linspace(-1, 1, 8 * 16).view(8, 1, 4, 4)
LABELS = torch.arange(8) % 2


@pytest.mark.parametrize(
    ("tensors", "changes"),
    [((IMAGES,), {}), ((IMAGES, LABELS), {}), ((IMAGES, LABELS.int()), {"num_classes": 2})],
)
def test_own_loaders_give_the_rounds(tensors, changes, game, tmp_path):
    gan, _ = trained(game(rounds=5, log_every=2, **changes), loader(*tensors), tmp_path)
    assert (gan.round, gan.images_seen) == (5, 20)


@pytest.mark.parametrize(
    ("batches", "changes", "key"),
    [
        (loader((IMAGES * 127 + 128).byte()), {}, "torch.uint8"),
        (loader(IMAGES * 3), {}, "from -1 to 1"),
        (loader(IMAGES[:, :, :3]), {}, "(N, 1, 4, 4)"),
        (loader(IMAGES, LABELS[:, None]), {}, "labels"),
        (loader(IMAGES, LABELS, IMAGES), {}, "collate_fn"),
        (DataLoader(Dicts(), batch_size=4), {}, "dict"),
        (loader(IMAGES, batch_size=3), {"schedule": Schedule(discriminator_steps=2)}, "drop_last"),
        (loader(IMAGES), {"num_classes": 2}, "labels"),
    ],
)
def test_batches_that_do_not_fit_are_refused_by_name(batches, changes, key, game, tmp_path):
    with pytest.raises(UserError) as error:
        trained(game(rounds=5, **changes), batches, tmp_path)
    assert key in str(error.value)


def test_lightnings_steps_are_rounds(game, tmp_path, caplog):
    options = {"logger": CSVLogger(tmp_path), "enable_checkpointing": True, "max_steps": 6}
    gan, trainer = trained(game(rounds=50, log_every=2), loader(IMAGES), tmp_path, **options)
    assert (gan.round, trainer.global_step) == (6, 6)
    (checkpoint,) = tmp_path.glob("**/checkpoints/*.ckpt")
    assert checkpoint.stem.endswith("step=6")
    assert [message.partition(":")[0] for message in caplog.messages] == ["no callback writes losses to the logger"]
    assert gan.loss_log.flush().keys() >= {"loss/generator"}  # of the last interval alone
    resumed, trainer = trained(game(rounds=8), loader(IMAGES), tmp_path, checkpoint, **options | {"max_steps": -1})
    assert resumed.resumed
    assert (resumed.round, trainer.global_step) == (8, 8)


def test_losses_that_nobody_reads_are_not_kept(game, tmp_path):
    gan, _ = trained(game(rounds=9, log_every=2), loader(IMAGES), tmp_path)
    assert len(gan.loss_log.flush()["loss/generator"]) == 1


def test_lightnings_loggers_get_numbers(game, tmp_path):
    class Fid:
        is_prepared, seed, columns, ranges, every = True, 0, {"fid": "min"}, {"fid": (0, None)}, None

        def __call__(self, source):
            return {"fid": 7.5}

        def adapt(self, sampler):
            return sampler

        def protocol(self, **how):
            return type("Protocol", (), {"as_dict": lambda self: {"extractor": "none"}})()

    callbacks = [Log(), Evaluate(Fid(), every=4)]
    options = {"logger": CSVLogger(tmp_path), "callbacks": callbacks}
    trained(game(rounds=4, log_every=2), loader(IMAGES), tmp_path, **options)
    (table,) = tmp_path.glob("**/metrics.csv")
    rows = list(csv.DictReader(table.open()))
    assert [(row["step"], row["metrics/fid"]) for row in rows if row["metrics/fid"]] == [("0", "7.5"), ("4", "7.5")]
    assert [row["step"] for row in rows if row["loss/generator"]] == ["2", "4"]
    assert not {"protocol", "better", "ranges"} & set(rows[0])


def test_an_evaluation_without_reals_is_refused(game, tmp_path):
    evaluate = Evaluate(Evaluation(Classifier("digits"), ["fid"], num_samples=100), every=2)
    with pytest.raises(UserError, match="prepare"):
        trained(game(rounds=2), loader(IMAGES), tmp_path, callbacks=[evaluate])


# --- metrics alone -------------------------------------------------------------------------------------------------

REALS = torch.arange(40 * 64, dtype=torch.uint8).view(40, 1, 8, 8)


@pytest.mark.parametrize(
    ("metric", "uses", "key"),
    [
        (FID, [], "generated"),
        (FID, [{"of": "generated"}], "of='train'"),
        (FID, [{"of": "train"}], "of='generated'"),
        (FID, [{"of": "test"}], "'test'"),
        (FID, [{"of": "heldout"}], "'heldout'"),
        (FID, [{"samples": REALS.numpy()}], "ndarray"),
        (FID, [{"samples": REALS.float()}], "float32"),
        (FID, [{"samples": REALS[0]}], "(1, 8, 8)"),
        (IntraClassFID, [{"labels": torch.zeros(3, dtype=torch.int64)}], "(3,)"),
        (KID, [{}, {"of": "train"}], "num_samples"),
    ],
)
def test_metrics_alone_refuse_misuse(metric, uses, key):
    def measure():
        measured = metric(Classifier("digits"))
        for use in uses:
            measured.update(**{"samples": REALS} | use)
        measured.compute()

    with pytest.raises(UserError) as error:
        measure()
    assert key in str(error.value)


def test_a_metric_that_was_reset_needs_new_samples():
    fid = FID(Classifier("digits"))
    fid.update(REALS, of="train")
    fid.update(REALS)
    assert fid.compute()["fid"] == pytest.approx(0, abs=1e-9)
    fid.reset()
    with pytest.raises(UserError, match="generated"):
        fid.compute()
