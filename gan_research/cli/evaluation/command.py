"""The course of `gan evaluate`: open what is to be measured, build the evaluations, measure, show."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from gan_research.cli.build import make
from gan_research.cli.evaluation.blocks import blocks
from gan_research.cli.evaluation.generators import is_generator, open_generators
from gan_research.cli.evaluation.measurement import Measurement, of_generator, of_samples
from gan_research.cli.evaluation.plot import plot
from gan_research.cli.evaluation.progress import ProgressBar
from gan_research.cli.evaluation.report import Report
from gan_research.cli.evaluation.samples import Samples, open_data, open_samples
from gan_research.cli.evaluation.trust import require_trusted_parts
from gan_research.distributed import is_first
from gan_research.errors import UserError, did_you_mean
from gan_research.metrics import Evaluation
from gan_research.metrics.statistics_files import LAYOUTS, write_statistics


def measure(options: argparse.Namespace) -> Report:
    """Measure all that is asked for. What was measured is shown and kept, though an error ends it."""
    measurements: list[Callable[..., Measurement]]
    device = device_of(options)
    path = Path(options.samples).expanduser()
    if is_generator(path):
        generators = open_generators(path, options.raw, options.trust)
        generated, config = None, generators[-1].config
        measurements = [partial(of_generator, generator, options.seeds, device) for generator in generators]
    else:
        generated, config = open_generated(options), None
        measurements = [partial(of_samples, generated)]
    evaluations = build_evaluations(options, config, generated)
    real = open_real(options, config, generated, evaluations)
    report = Report(options.samples, None if real is generated else real.name, options.json if is_first() else None)
    try:
        with ProgressBar() as bar:
            for block, evaluation in evaluations.items():
                evaluation.prepare(real.samples, device, real.split, real.heldout, bar.of(evaluation.extractor.name))
                for measured in measurements:
                    report.add(block, measured(evaluation, real.samples if options.verify else None, bar))
    finally:
        if is_first():
            report.show()
            if options.plot is not None and report.blocks:
                plot(report.blocks, options.plot)
    return report


def write_reference(options: argparse.Namespace) -> None:
    """Write the statistics of samples into a file, which is as good as the samples where FID is measured."""
    if options.layout not in LAYOUTS:
        raise UserError(f"there is no layout '{options.layout}' of statistics: {did_you_mean(options.layout, LAYOUTS)}")
    if options.reference is not None or options.num_samples is not None:
        raise UserError(
            "--write-statistics takes SAMPLES alone, and all of them: leave out REFERENCE and --num-samples "
            "(num_real=N takes N at random)"
        )
    samples = open_samples(options.samples, options.split, options.data_root, options.skip_corrupt)
    nodes = blocks(options.metrics, options.extractor, {"cache": not options.no_cache}, options.settings, options.trust)
    if len(nodes) > 1:
        raise UserError("--write-statistics takes one extractor: give one choice of --metrics, or --extractor")
    (node,) = nodes.values()
    evaluation: Evaluation = make(node | {"metrics": ["fid"], "settings": None})
    with ProgressBar() as bar:
        evaluation.prepare(samples.samples, device_of(options), samples.split, progress=bar.of(samples.name))
    protocol = evaluation.protocol(ema=None, batch_statistics=None, sampling_seeds=()).as_dict()
    if not is_first():
        return
    write_statistics(options.write_statistics, evaluation.reference, options.layout, protocol)
    print(f"statistics of {protocol['num_real']:,} samples by {protocol['extractor']} in {options.write_statistics}")


def device_of(options: argparse.Namespace) -> str:
    """The one asked for."""
    if options.device != "auto":
        return str(options.device)
    return "cuda" if torch.cuda.is_available() else "cpu"


def open_generated(options: argparse.Namespace) -> Samples:
    """The generated samples that lie there."""
    for option, given in (("--seeds", options.seeds), ("--raw", options.raw)):
        if given:
            raise UserError(f"{option} is for checkpoints: the samples of {options.samples} lie there already")
    samples = open_samples(options.samples, None, None, options.skip_corrupt)
    if samples.count is not None and (options.num_samples or 0) > samples.count:
        raise UserError(f"--num-samples {options.num_samples}: {samples.name} holds only {samples.count:,} samples")
    return samples


def open_real(
    options: argparse.Namespace,
    config: dict[str, Any] | None,
    generated: Samples | None,
    evaluations: dict[str, Evaluation],
) -> Samples:
    """REFERENCE; else what a generator was trained on; else, where no metric compares, the generated samples."""
    if options.reference is not None:
        return open_samples(options.reference, options.split, options.data_root, options.skip_corrupt)
    if generated is None:
        if config is None:
            raise UserError(
                f"{options.samples} doesn't say what it was trained on: it wasn't written by gan train; name the real "
                "samples as REFERENCE"
            )
        require_trusted_parts(config["data"], options.trust)
        return open_data(config["data"], options.split, options.data_root)
    for evaluation in evaluations.values():
        for metric in evaluation.metrics:
            if metric.wants_real(evaluation.num_samples):
                raise UserError(
                    f"metric '{metric.name}' compares with real samples: name them, as in gan evaluate "
                    f"{options.samples} REFERENCE"
                )
    return generated


def build_evaluations(
    options: argparse.Namespace, config: dict[str, Any] | None, generated: Samples | None
) -> dict[str, Evaluation]:
    """The evaluation of each block; all before anything is measured, so that what can't be had is said at once."""
    given: dict[str, Any] = {"cache": False} if options.no_cache else {}
    count = options.num_samples
    if count is None and generated is not None:
        count = generated.count
    given |= {} if count is None else {"num_samples": count}
    given |= {"seed": options.seeds[0]} if options.seeds else {}
    nodes = blocks(options.metrics, options.extractor, given, options.settings, options.trust, config)
    return {block: make(node) for block, node in nodes.items()}
