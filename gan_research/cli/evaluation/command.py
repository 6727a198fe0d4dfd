"""The steps of `gan evaluate`: open the samples, build the evaluations, measure, and show the results."""

import argparse
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import torch

from gan_research.checkpoints.allowlist import require_allowed
from gan_research.cli.evaluation.blocks import Node, blocks
from gan_research.cli.evaluation.generators import is_generator, open_generators
from gan_research.cli.evaluation.measurement import Measurement, of_generator, of_samples
from gan_research.cli.evaluation.plot import plot
from gan_research.cli.evaluation.progress import ProgressBar
from gan_research.cli.evaluation.report import Report
from gan_research.cli.evaluation.samples import Samples, open_data, open_samples
from gan_research.config.build import make
from gan_research.config.schema import check_nodes
from gan_research.distributed import is_rank_zero
from gan_research.metrics import Evaluation
from gan_research.metrics.evaluation import Source
from gan_research.metrics.oracle import refusal, verify
from gan_research.metrics.statistics_files import LAYOUTS, StatisticsFile, write_statistics
from gan_research.utils.artifacts import local
from gan_research.utils.errors import UserError, did_you_mean

log = logging.getLogger(__name__)


def measure(options: argparse.Namespace) -> Report:
    """Run all evaluations. Finished measurements are shown and written even if an error follows."""
    measurements: list[Callable[[Evaluation, ProgressBar], tuple[Measurement, Source]]]
    device = device_of(options)
    path = local(options.samples, whole=options.raw or options.ema is not None)
    if is_generator(path):
        generators = open_generators(path, options.raw, options.allow, options.ema)
        generated, config = None, generators[-1].config
        each = product(generators, options.truncation or [None], options.psi or [None])
        measurements = [partial(of_generator, one, options.seeds, t, psi, device) for one, t, psi in each]
    else:
        generated, config = open_generated(options), None
        measurements = [partial(of_samples, generated)]
    try:
        evaluations = build_evaluations(options, config, generated)
    except UserError:  # such as missing weights: data that are missing too are named first
        if config is not None and options.reference is None and options.data_root is None:
            require_allowed(config["data"], options.allow)
            check_nodes(config["data"], "data")
        raise
    real = open_real(options, config, generated, evaluations)
    reals = None if real is None else real.samples
    fakes = None if generated is None else generated.samples
    verified = verifiable(evaluations, fakes, reals) if options.verify else set()
    report = Report(options.samples, real, options.json if is_rank_zero() else None)
    try:
        with ProgressBar() as bar:
            for block, evaluation in evaluations.items():
                progress = bar.of(evaluation.extractor.name)
                if real is None:
                    evaluation.prepare(None, device, progress=progress)
                else:
                    evaluation.prepare(real.samples, device, real.split, real.heldout, progress)
                for measured in measurements:
                    measurement, source = measured(evaluation, bar)
                    report.add(block, measurement)
                    if block in verified and is_rank_zero():
                        report.add_checks(block, verify(evaluation, source, reals, measurement.each[0]))
    finally:
        if is_rank_zero():
            report.show()
            if options.plot is not None and report.blocks:
                plot(report.blocks, options.plot)
    return report


def write_reference(options: argparse.Namespace) -> None:
    """Write a file of statistics, which can replace the samples for FID."""
    if options.layout not in LAYOUTS:
        raise UserError(f"there is no layout '{options.layout}' of statistics: {did_you_mean(options.layout, LAYOUTS)}")
    if options.reference is not None or options.num_samples is not None:
        raise UserError(
            "--write-statistics uses SAMPLES alone, and all of them: leave out REFERENCE and --num-samples "
            "(num_real=N uses N at random)"
        )
    device = device_of(options)
    samples = open_samples(options.samples, options.split, options.data_root, options.skip_corrupt)
    nodes = blocks(options.metrics, options.extractor, {"cache": not options.no_cache}, options.settings, options.allow)
    if len(nodes) > 1:
        raise UserError("--write-statistics uses one extractor: give one choice of --metrics, or --extractor")
    (node,) = nodes.values()
    wanted: dict[str, Any] = {"metrics": ["fid"], "settings": None}
    if options.layout != "pytorch-fid":  # the others contain features too, which kid needs
        wanted = {"metrics": ["fid", "kid"], "settings": {"kid": {"subset_size": 2}}}
    evaluation: Evaluation = make(node | wanted)
    with ProgressBar() as bar:
        evaluation.prepare(samples.samples, device, samples.split, progress=bar.of(samples.name))
    if not is_rank_zero():
        return
    protocol = evaluation.protocol(ema=None, batch_statistics=None, sampling_seeds=(), sampling=None)
    protocol = replace(protocol, num_fake=None, settings={})  # of the real samples alone
    features = None if options.layout == "pytorch-fid" else evaluation.reference("features")
    moments = evaluation.reference("moments")
    write_statistics(options.write_statistics, moments, options.layout, protocol.as_dict(), features)
    print(f"statistics of {protocol.num_real:,} samples by {protocol.extractor} in {options.write_statistics}")


def device_of(options: argparse.Namespace) -> str:
    """Return the device; a UserError if it isn't available."""
    if options.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=options.device)
    except (RuntimeError, AssertionError) as error:  # no such name, no such GPU, a torch without CUDA
        raise UserError(f"--device {options.device}: there is no such device here: give cpu, cuda or cuda:1") from error
    return str(options.device)


def verifiable(evaluations: dict[str, Evaluation], *samples: Source | None) -> set[str]:
    """Return the blocks that torch-fidelity can verify, with a warning for the others; a UserError if none is left."""
    reasons = {block: refusal(evaluation, *samples) for block, evaluation in evaluations.items()}
    refused = {block: reason for block, reason in reasons.items() if reason is not None}
    if len(refused) == len(evaluations):
        raise UserError(next(iter(refused.values())))
    for block, reason in refused.items():
        log.warning("%s isn't verified: %s", block, reason)
    return evaluations.keys() - refused.keys()


def open_generated(options: argparse.Namespace) -> Samples:
    """Open a fixed set of generated samples."""
    own = {"--seeds": options.seeds, "--truncation": options.truncation, "--raw": options.raw, "--ema": options.ema}
    own |= {"--psi": options.psi, "--noise": options.noise}
    for option, value in (own | {"--standing-statistics": options.standing_statistics}).items():
        if value:
            raise UserError(f"{option} is for checkpoints: {options.samples} is a set of samples")
    samples = open_samples(options.samples, None, None, options.skip_corrupt)
    if options.num_samples is not None and isinstance(samples.samples, StatisticsFile):
        raise UserError(f"--num-samples {options.num_samples}: {samples.name} contains statistics of all its samples")
    if samples.count is not None and (options.num_samples or 0) > samples.count:
        raise UserError(f"--num-samples {options.num_samples}: {samples.name} has only {samples.count:,} samples")
    return samples


def open_real(
    options: argparse.Namespace, config: Node | None, generated: Samples | None, evaluations: dict[str, Evaluation]
) -> Samples | None:
    """Open REFERENCE, or the generator's training data; None if no metric needs real samples."""
    if options.reference is not None:
        return open_samples(options.reference, options.split, options.data_root, options.skip_corrupt)
    each = [(metric, evaluation.num_samples) for evaluation in evaluations.values() for metric in evaluation.metrics]
    comparing = [metric.name for metric, num_samples in each if metric.real_statistics(num_samples)]
    if not comparing:
        return None
    if config is not None:
        require_allowed(config["data"], options.allow)
        return open_data(config["data"], options.split, options.data_root)
    if generated is not None:
        raise UserError(
            f"metric '{comparing[0]}' compares with real samples: name them, as in gan evaluate {options.samples} "
            "REFERENCE"
        )
    raise UserError(f"{options.samples} doesn't specify its training data: name the real samples as REFERENCE")


def build_evaluations(
    options: argparse.Namespace, config: Node | None, generated: Samples | None
) -> dict[str, Evaluation]:
    """Build the evaluations of all blocks before any is run, so that errors come early."""
    values: dict[str, Any] = {"cache": False} if options.no_cache else {}
    count = generated.count if generated and options.num_samples is None else options.num_samples
    values |= {} if count is None else {"num_samples": count}
    values |= {"seed": options.seeds[0]} if options.seeds else {}
    for option in ("standing_statistics", "cutoff", "noise"):
        values |= {} if getattr(options, option) is None else {option: getattr(options, option)}
    values |= {"psi_by_class": True} if options.psi_by_class else {}
    values |= {"psi": options.psi[0]} if options.psi else {}
    nodes = blocks(options.metrics, options.extractor, values, options.settings, options.allow, config)
    return {block: make(node) for block, node in nodes.items()}
