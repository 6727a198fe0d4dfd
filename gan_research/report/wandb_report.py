"""The comparison of variants as a report in W&B, made with W&B's own library."""

import contextlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import wandb

from gan_research.utils.errors import UserError

Axis = Literal["round", "kimg"]
Band = Literal["stderr", "stddev", "minmax"]

BANDS = {"stderr": "their standard error", "stddev": "a standard deviation", "minmax": "the least and the greatest"}

LONGEST_TITLE = 128
"""Characters, of a report."""

PARAMETERS = (
    "optimizer.generator.lr",
    "optimizer.discriminator.lr",
    "schedule.discriminator_steps",
    "batch_size",
)
"""What every run has: parallel coordinates leave out a run that lacks one of its columns."""

WIDTH, WIDE = 12, 24
"""Of a panel, and of the page."""


@dataclass(frozen=True)
class Layout:
    """What a report shows, of which runs.

    by: the config key that tells variants apart; runs that are equal in it differ in their seeds, and become one line.
    metrics: without metrics/. axis: of all curves. band: around the mean of a variant's seeds. parameters: config keys,
    the columns of the parallel coordinates.
    """

    entity: str
    project: str
    by: str = "choices.loss"
    title: str = "Variants compared"
    metrics: Sequence[str] = ("fid", "is")
    axis: Axis = "round"
    band: Band = "stderr"
    parameters: Sequence[str] = PARAMETERS


def make_report(layout: Layout) -> Any:
    """The report. Where its entity is "" no server is asked, neither now nor by `request`."""
    wr = _reports()
    variant = layout.by.removeprefix("choices.")
    if len(layout.title) > LONGEST_TITLE:
        raise UserError(f"the title has {len(layout.title)} characters: W&B takes {LONGEST_TITLE}")
    text = (
        f"Lines are means over the runs of equal {variant}, bands show {BANDS[layout.band]}. Numbers can be compared "
        f"where the run comparer below shows no difference in protocol. Made by gan report, which changes it: give one "
        f"of your own another title."
    )
    grouped = {"groupby": [f"config.{layout.by}"], "name": f"by {variant}"}
    blocks = [
        wr.P(text),
        wr.H2("Metrics"),
        _grid(wr, layout, _metrics(wr, layout), **grouped),
        wr.H2("The game"),
        _grid(wr, layout, _game(wr, layout), **grouped),
        wr.H2("Samples"),
        _grid(wr, layout, _samples(wr)),
        wr.H2("Hyperparameters"),
        _grid(wr, layout, _hyperparameters(wr, layout)),
    ]
    return wr.Report(
        project=layout.project,
        entity=layout.entity,
        title=layout.title,
        description=f"Runs of {layout.project} by {variant}",
        blocks=blocks,
        width="fluid",
    )


def _grid(wr: Any, layout: Layout, panels: list[Any], **runs: Any) -> Any:
    """Panels over the runs of the project."""
    runs = {"name": "runs", "entity": layout.entity, "project": layout.project} | runs
    return wr.PanelGrid(runsets=[wr.Runset(**runs)], panels=panels)


def _curve(wr: Any, layout: Layout, title: str, names: Sequence[str] = (), **more: Any) -> Any:
    """The mean of the runs of a variant over the axis, and the band around it."""
    shape = wr.Layout(w=WIDTH, h=8)
    seeds = {"groupby_aggfunc": "mean", "groupby_rangefunc": layout.band}
    return wr.LinePlot(title=title, x=layout.axis, y=list(names), title_x=layout.axis, layout=shape, **seeds, **more)


def _metrics(wr: Any, layout: Layout) -> list[Any]:
    """Each metric over the game, and what it comes to in the end."""
    panels = []
    for name in layout.metrics:
        panels.append(_curve(wr, layout, name, [f"metrics/{name}"]))
        panels.append(
            wr.BarPlot(
                title=f"{name}, the last",
                metrics=[f"metrics/{name}"],
                groupby_aggfunc="mean",
                groupby_rangefunc=layout.band,
                layout=wr.Layout(w=WIDTH, h=8),
            )
        )
    return panels


def _game(wr: Any, layout: Layout) -> list[Any]:
    """What the players say and lose, and how fast it goes."""
    return [
        _curve(wr, layout, "D(x) and D(G(z))", ["probability/real", "probability/fake"]),
        _curve(wr, layout, "Logits", ["logits/real", "logits/fake"]),
        _curve(wr, layout, "Loss of D", ["loss/discriminator"]),
        _curve(wr, layout, "Loss of G", ["loss/generator"]),
        _curve(wr, layout, "All terms, penalties before their weights", metric_regex="^loss/.*"),
        _curve(wr, layout, "Images per second", ["speed/images_per_second"]),
    ]


def _samples(wr: Any) -> list[Any]:
    """The sample grids: a column for each round, a row for each run."""
    shape = wr.Layout(w=WIDE, h=12)
    return [
        wr.MediaBrowser(
            title="Samples of the same latents",
            media_keys=["samples"],
            mode="grid",
            grid_x_axis="step",
            grid_y_axis="run",
            layout=shape,
        )
    ]


def _hyperparameters(wr: Any, layout: Layout) -> list[Any]:
    """What settings come to, by the first metric, and how runs differ."""
    metric = f"metrics/{layout.metrics[0]}"
    keys = dict.fromkeys([layout.by, *layout.parameters])
    columns = [
        wr.ParallelCoordinatesPlotColumn(metric=wr.Config(key), log=key.endswith((".lr", ".weight"))) for key in keys
    ]
    columns.append(wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(metric)))
    return [
        wr.ParallelCoordinatesPlot(title=layout.metrics[0], columns=columns, layout=wr.Layout(w=WIDE, h=10)),
        wr.ParameterImportancePlot(with_respect_to=metric, layout=wr.Layout(w=WIDTH, h=10)),
        wr.RunComparer(diff_only="split", layout=wr.Layout(w=WIDTH, h=10)),
    ]


def request(layout: Layout) -> dict[str, Any]:
    """What would be sent to W&B's server to create the report, but for the numbers by which it knows its projects."""
    model = make_report(replace(layout, entity=""))._to_model()
    spec = json.loads(model.spec.model_dump_json(by_alias=True, exclude_none=True))
    where = {"entityName": layout.entity or None, "name": layout.project}
    for block in spec["blocks"]:
        for runs in block.get("metadata", {}).get("runSets", []):
            runs["project"] = where
    return {
        "entityName": layout.entity or None,
        "projectName": layout.project,
        "displayName": model.display_name,
        "description": model.description,
        "type": "runs",
        "spec": spec,
    }


def publish(layout: Layout) -> tuple[str, bool]:
    """Create the report, or change the one of that title in that project: its address, and whether it is a new one.

    Where the layout names no entity it is the user's default one.
    """
    _reports()
    if (mode := os.environ.get("WANDB_MODE", "online")) != "online":
        raise UserError(f"WANDB_MODE={mode} keeps W&B from its server: unset it, or {OFFLINE}")
    with contextlib.redirect_stderr(io.StringIO()), explained(layout):  # it says how it logs in, and the address
        if not wandb.login(prompt=False, verify=False):
            raise UserError(f"W&B has no key: log in with wandb login, or {OFFLINE}")
        api = wandb.Api()
        if not (entity := layout.entity or api.default_entity):
            raise UserError(f"W&B knows no default entity of yours: give ENTITY/{layout.project}")
        there = [known for known in api.reports(f"{entity}/{layout.project}") if known.display_name == layout.title]
        report = make_report(replace(layout, entity=entity))
        if there:
            report.id = there[0].id
        report.save()
        return str(report.url), not there


OFFLINE = "stay offline: gan compare makes the same page of run folders, gan report --print shows what would be sent"


@contextlib.contextmanager
def explained(layout: Layout) -> Iterator[None]:
    """What goes wrong between here and W&B's server, in one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # the library's own bare ones, the transport's, the server's
        path = "/".join(filter(None, [layout.entity, layout.project]))
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"W&B doesn't take a report for {path}: {reason}; log in with wandb login, or {OFFLINE}"
        ) from error


def _reports() -> Any:
    """W&B's library of reports."""
    try:
        import wandb_workspaces.reports.v2 as library
    except ImportError:
        raise UserError("W&B's library of reports isn't installed: pip install 'gan_research[report]'") from None
    return library
