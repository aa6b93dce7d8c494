"""What has been ingested, for the terminal."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from neurondb.reading.status import DatabaseStatus, ModelStatus, OpenRun, StageStatus
from neurondb.render.hints import hint, ingest_command
from neurondb.render.numbers import MISSING, duration, size
from neurondb.render.text import head, visible

_BAR_CELLS = 12
_DATASET_CELLS = 24


def status_page(status: DatabaseStatus) -> RenderableType:
    """Return the database's line and, under each model, its stages and open runs."""
    known = [
        Text(visible(status.location), "name"),
        Text(MISSING if status.size_bytes is None else size(status.size_bytes)),
        Text(f"schema {status.revision}"),
    ]
    parts: list[RenderableType] = [Text(" · ").join(known)]
    for model in status.models:
        parts += [Text(), *_model(model)]
    return Group(*parts)


def _model(model: ModelStatus) -> Iterator[RenderableType]:
    kind = "gated" if model.gated else "ungated"
    yield Text.assemble(
        (visible(model.model), "name"),
        f" · {model.layers} layers, {model.neurons:,} {kind} neurons · {visible(model.source)}",
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="faint")
    for heading in ("  stage", "", "layers", "rows", "took", "finished (UTC)"):
        counts = heading in ("layers", "rows", "took")
        table.add_column(heading, justify="right" if counts else "left", no_wrap=True)
    for stage in model.stages:
        table.add_row(*_stage(stage))
    yield table
    missing = [stage.stage for stage in model.stages if stage.layers_done < stage.layers]
    if missing:
        yield hint(f"  next: {ingest_command(model.model, model.source, *missing)}")
    for run in model.open_runs:
        yield Padding(_open_run(run), (0, 0, 0, 2))


def _stage(stage: StageStatus) -> tuple[Text, ...]:
    name = Text(f"  {visible(stage.stage)}")
    if stage.dataset:
        name.append(f"\n    {head(stage.dataset, _DATASET_CELLS)}", "faint")
    done = stage.layers_done == stage.layers
    layers = Text(f"{stage.layers_done}/{stage.layers}", "" if done else "caution")
    if stage.finished_at is None:
        return (
            name,
            _bar(stage),
            layers,
            Text("–", "faint"),
            Text(),
            Text("not ingested", "caution"),
        )
    return (
        name,
        _bar(stage),
        layers,
        Text(f"{stage.rows:,}"),
        Text(duration(stage.seconds)),
        Text(moment(stage.finished_at), "faint"),
    )


def _bar(stage: StageStatus) -> Text:
    filled = _BAR_CELLS * stage.layers_done // max(stage.layers, 1)
    style = "positive" if stage.layers_done == stage.layers else "caution"
    return Text.assemble(("█" * filled, style), ("░" * (_BAR_CELLS - filled), "faint"))


def _open_run(run: OpenRun) -> Text:
    return Text(
        f"! run {run.run_id} ({visible(run.stages)}; {visible(run.device)}) of "
        f"{moment(run.started_at)} has not finished: it goes on, or was interrupted and the "
        "same command continues it",
        "caution",
    )


def moment(stamp: str) -> str:
    """Return a stored time to the minute."""
    return visible(stamp[:16]).replace("T", " ")
