"""A comparison of variants as a report in W&B, made with W&B's own library."""

import contextlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import wandb

from gan_research.report.records import METRICS
from gan_research.utils.errors import UserError, import_extra, one_line

Axis = Literal["round", "kimg"]
Band = Literal["stderr", "stddev", "minmax"]
BANDS = {"stderr": "their standard error", "stddev": "a standard deviation", "minmax": "the minimum and maximum"}
LONGEST_TITLE = 128  # the maximum number of characters of a report's title
PARAMETERS = ("optimizer.generator.lr", "optimizer.discriminator.lr", "schedule.discriminator_steps", "batch_size")
"""Settings that every run has: W&B's parallel coordinates leave out runs without one of them."""
WIDTH, WIDE = 12, 24  # the width of a panel, and of the page
OFFLINE = "stay offline: gan compare makes the same page from run folders, gan report --print shows the request"


@dataclass(frozen=True)
class Layout:
    """The runs and panels of a report.

    by: the config key of the variants; runs that are equal in it are averaged to one line. metrics: without metrics/.
    axis: of all curves. band: around the mean of a variant's seeds. parameters: config keys, the columns of the
    parallel coordinates.
    """

    entity: str
    project: str
    by: str = "choices.loss"
    title: str = "Comparison of variants"
    metrics: Sequence[str] = ("fid", "inception_score")
    axis: Axis = "round"
    band: Band = "stderr"
    parameters: Sequence[str] = PARAMETERS


def make_report(layout: Layout) -> Any:
    """Return the report. If its entity is "", no server is asked."""
    wr = _library()
    variant = layout.by.removeprefix("choices.")
    if len(layout.title) > LONGEST_TITLE:
        raise UserError(f"the title has {len(layout.title)} characters: W&B allows {LONGEST_TITLE}")
    text = (
        f"Lines are means over runs of the same {variant}, bands show {BANDS[layout.band]}, not 95 % intervals. "
        f"Numbers are comparable if the run comparer below shows no difference in protocol. gan compare "
        f"wandb:ENTITY/PROJECT tests which {variant} is better than seed noise, at equal budget. "
        f"gan report overwrites this report: use another title for one of your own."
    )
    panels = {"Metrics": _metrics, "Training dynamics": _dynamics, "Samples": _samples, "Hyperparameters": _settings}
    blocks = [wr.P(text)]
    for heading, make in panels.items():
        grouped = {"groupby": [f"config.{layout.by}"]} if make in (_metrics, _dynamics) else {}
        name = f"by {variant}" if grouped else "runs"
        runs = wr.Runset(name=name, entity=layout.entity, project=layout.project, **grouped)
        blocks += [wr.H2(heading), wr.PanelGrid(runsets=[runs], panels=make(wr, layout))]
    about = {"title": layout.title, "description": f"Runs of {layout.project} by {variant}", "width": "fluid"}
    return wr.Report(project=layout.project, entity=layout.entity, blocks=blocks, **about)


def _mean(wr: Any, layout: Layout) -> dict[str, Any]:
    """Return the mean of a variant's runs with its band, and a new layout: the grid changes it."""
    return {"groupby_aggfunc": "mean", "groupby_rangefunc": layout.band, "layout": wr.Layout(w=WIDTH, h=8)}


def _curve(wr: Any, layout: Layout, title: str, names: Sequence[str] = (), **more: Any) -> Any:
    more |= _mean(wr, layout)
    return wr.LinePlot(title=title, x=layout.axis, y=list(names), title_x=layout.axis, **more)


def _metrics(wr: Any, layout: Layout) -> list[Any]:
    """Return a curve and a bar of the last value for each metric."""
    panels = []
    for name in layout.metrics:
        panels.append(_curve(wr, layout, name, [METRICS + name]))
        panels.append(wr.BarPlot(title=f"{name}, last value", metrics=[METRICS + name], **_mean(wr, layout)))
    return panels


def _dynamics(wr: Any, layout: Layout) -> list[Any]:
    return [
        _curve(wr, layout, "D(x) and D(G(z))", ["probability/real", "probability/fake"]),
        _curve(wr, layout, "Logits", ["logits/real", "logits/fake"]),
        _curve(wr, layout, "Loss of D", ["loss/discriminator"]),
        _curve(wr, layout, "Loss of G", ["loss/generator"]),
        _curve(wr, layout, "All terms, penalties before their weights", metric_regex="^loss/.*"),
        _curve(wr, layout, "Images per second", ["speed/images_per_second"]),
    ]


def _samples(wr: Any, layout: Layout) -> list[Any]:
    """Return the sample grids: a column for each round, a row for each run."""
    look = {"mode": "grid", "grid_x_axis": "step", "grid_y_axis": "run", "layout": wr.Layout(w=WIDE, h=12)}
    return [wr.MediaBrowser(title="Samples from the same latents", media_keys=["samples"], **look)]


def _settings(wr: Any, layout: Layout) -> list[Any]:
    """Return panels of the settings' effect on the first metric, and of how runs differ."""
    metric = METRICS + layout.metrics[0]
    keys = dict.fromkeys([layout.by, *layout.parameters])
    column = wr.ParallelCoordinatesPlotColumn
    columns = [column(metric=wr.Config(key), log=key.endswith((".lr", ".weight"))) for key in keys]
    columns.append(column(metric=wr.SummaryMetric(metric)))
    return [
        wr.ParallelCoordinatesPlot(title=layout.metrics[0], columns=columns, layout=wr.Layout(w=WIDE, h=10)),
        wr.ParameterImportancePlot(with_respect_to=metric, layout=wr.Layout(w=WIDTH, h=10)),
        wr.RunComparer(diff_only="split", layout=wr.Layout(w=WIDTH, h=10)),
    ]


def request(layout: Layout) -> dict[str, Any]:
    """Return the request that creates the report, without W&B's internal id of the project."""
    model = make_report(replace(layout, entity=""))._to_model()
    spec = json.loads(model.spec.model_dump_json(by_alias=True, exclude_none=True))
    for block in spec["blocks"]:
        for runs in block.get("metadata", {}).get("runSets", []):
            runs["project"] = {"entityName": layout.entity or None, "name": layout.project}
    address = {"entityName": layout.entity or None, "projectName": layout.project}
    return address | {"displayName": model.display_name, "description": model.description, "type": "runs", "spec": spec}


def publish(layout: Layout) -> tuple[str, bool]:
    """Create the report, or overwrite the one of its title; return its address and whether it is new.

    Without an entity in the layout it is the user's default one.
    """
    _library()
    if (mode := os.environ.get("WANDB_MODE", "online")) != "online":
        raise UserError(f"WANDB_MODE={mode} keeps W&B offline: unset it, or {OFFLINE}")
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # W&B prints the login and the address
            if not wandb.login(prompt=False, verify=False):
                raise UserError(f"W&B has no key: log in with wandb login, or {OFFLINE}")
            api = wandb.Api()
            if not (entity := layout.entity or api.default_entity):
                raise UserError(f"you have no default entity in W&B: give ENTITY/{layout.project}")
            old = [r for r in api.reports(f"{entity}/{layout.project}") if r.display_name == layout.title]
            report = make_report(replace(layout, entity=entity))
            if old:
                report.id = old[0].id
            report.save()
            return str(report.url), not old
    except UserError:
        raise
    except Exception as error:  # any of W&B's library or server
        path = "/".join(filter(None, [layout.entity, layout.project]))
        reason = one_line(error)
        message = f"W&B can't save a report in {path}: {reason}; log in with wandb login, or {OFFLINE}"
        raise UserError(message) from error


def _library() -> Any:
    return import_extra("wandb_workspaces.reports.v2", "report", "a report in W&B")
