"""Several processes share an evaluation: every sample once, and the numbers of one process."""

import json
import os

import pytest
import torch
from torch import distributed
from torch.multiprocessing import start_processes

from gan_research.distributed import shard
from gan_research.metrics import Classifier, Evaluation
from gan_research.metrics.protocol import fingerprint
from gan_research.networks import MLPDiscriminator, MLPGenerator
from gan_research.sampling.priors import GaussianPrior
from gan_research.sampling.sampler import Sampler
from gan_research.sampling.selection import Rejection
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec

METRICS = [
    "fid",
    "inception_score",
    "kid",
    "precision_recall",
    "density_coverage",
    "ifid",
    "fid_infinity",
    "rarest_class",
    "class_accuracy",
]
SETTINGS = {"kid": {"subset_size": 60, "subsets": 5}}
CASES = {
    "uneven": (1003, 97, None),
    "fewer batches than processes": (1000, 1000, None),
    "some reals": (1001, 400, 801),
    "few reals": (1000, 400, 300),
}


def measured(images, labels, case):
    """The numbers of a case, and how many samples this process drew."""
    count, batch_size, num_real = CASES[case]

    class Real:
        def __len__(self):
            return 1200

        def read(self, start, stop):
            return self.gather(range(start, stop))

        def gather(self, indices):
            places = torch.as_tensor(list(indices))
            return images[places], labels[places]

        def content_hash(self):
            return case

    class Drawing:
        drawn = 0

        def __call__(self, start, stop):
            self.drawn += stop - start
            return images.roll(-500, 0)[start:stop]

        def labels(self, start, stop):
            return labels.roll(-500, 0)[start:stop]

    drawing = Drawing()
    evaluation = Evaluation(Classifier("digits"), METRICS, count, batch_size, num_real=num_real, settings=SETTINGS)
    evaluation.prepare(Real())
    again = Evaluation(Classifier("digits"), METRICS, count, batch_size, num_real=num_real, settings=SETTINGS)
    again.prepare(Real())  # from the cache
    numbers = evaluation(drawing)
    assert again(drawing) == numbers
    return numbers, drawing.drawn // 2, fingerprint(evaluation.protocol().as_dict())


def selected():
    """The numbers of samples that a discriminator selected, and the share of candidates that were accepted."""
    torch.manual_seed(0)
    samples = SampleSpec(8, 1)
    generator, discriminator = MLPGenerator(3, samples, width=8), MLPDiscriminator(samples, width=8)
    with torch.no_grad():
        discriminator.head.linear.weight *= 50  # so that few candidates are accepted
    discriminator.logits_are_log_odds = True
    evaluation = Evaluation(Classifier("digits"), ["inception_score"], 210, 50, sampler=Rejection(burn_in=200))
    evaluation.prepare(None)
    plain = Sampler(generator, GaussianPrior(3), 0, (-1, 1)).selecting(None, discriminator)
    sampler = evaluation.adapt(plain)
    return evaluation(sampler.source(3)), sampler.acceptance()


def work(rank, size, folder, images, labels):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(29500 + os.getppid() % 2000)}
    os.environ["GAN_RESEARCH_CACHE"] = str(folder / "cache")
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=size)
    results = {case: measured(images, labels, case) for case in CASES}
    results["selected"] = selected()
    evaluation = Evaluation(Classifier("digits"), ["inception_score"], 400, 100)
    evaluation.prepare(None)

    def corrupt(start, stop):
        if start == 300:
            raise UserError("image 300 is corrupt")
        return images[start:stop]

    try:
        evaluation(corrupt)
    except UserError as error:
        results["error"] = str(error)
    (folder / f"{rank}.json").write_text(json.dumps(results))
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def together(digits, tmp_path_factory):
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("together")
    start_processes(work, (2, folder, *digits), nprocs=2, start_method="forkserver")
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_find_what_one_does(together, digits, case):
    alone, _, protocol = measured(*digits, case)
    (first, drawn_first, protocol_first), (second, drawn_second, protocol_second) = (found[case] for found in together)
    assert first == second
    assert first == pytest.approx(alone, rel=1e-6)
    assert alone["fid"] > 0.1
    assert protocol_first == protocol_second == protocol
    extra = 1 if case == "fewer batches than processes" else 0  # one sample, of which none is taken, to know its shape
    assert drawn_first + drawn_second == CASES[case][0] + extra


def test_two_processes_select_the_samples_of_one(together):
    alone, share = selected()
    for found in together:
        assert found["selected"][0] == pytest.approx(alone, rel=1e-6)
        assert found["selected"][1] == pytest.approx(share, rel=1e-9)
    assert 0.01 < share < 0.9


def test_an_error_of_one_is_an_error_of_all(together):
    assert [found["error"] for found in together] == ["image 300 is corrupt"] * 2


def test_shares_are_contiguous_and_whole(monkeypatch):
    for count in (0, 1, 5, 8, 9):
        parts = []
        for rank in range(3):
            monkeypatch.setattr("gan_research.distributed.group.rank_and_world_size", lambda rank=rank: (rank, 3))
            parts += shard(count)
        assert parts == list(range(count))
