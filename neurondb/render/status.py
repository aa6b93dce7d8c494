"""What has been ingested, for the terminal."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from neurondb.jobs import STAGES
from neurondb.reading.status import DatabaseStatus, ModelStatus, OpenRun, StageStatus
from neurondb.render.hints import hint, ingest_command
from neurondb.render.numbers import MISSING, duration, size
from neurondb.render.text import head, visible

_BAR_CELLS = 12
_DATASET_CELLS = 24
_PART_OF = {
    "classes": "weights",
    "tokens": "vocab",
    "properties": "vocab",
    "texts": "activations",
}
"""Parts of a stage in the ledger → the stage that `ingest --stages` takes."""


def status_page(status: DatabaseStatus) -> RenderableType:
    """Return the database's line and, under each model, its stages and its latest run if open."""
    known = [
        Text(visible(status.location), "name"),
        Text(MISSING if status.size_bytes is None else size(status.size_bytes)),
        Text(f"schema {status.revision}"),
    ]
    parts: list[RenderableType] = [_one_line(Text(" · ").join(known))]
    for model in status.models:
        parts += [Text(), *_model(model)]
    return Group(*parts)


def _model(model: ModelStatus) -> Iterator[RenderableType]:
    kind = "gated" if model.gated else "ungated"
    yield Text.assemble(
        (visible(model.model), "name"),
        f" · {model.layers} layers, {model.neurons:,} {kind} neurons",
    )
    yield _one_line(Text(f"  from {visible(model.source)}", "faint"))
    dataset = "no dataset yet" if model.dataset is None else f"dataset {visible(model.dataset)}"
    yield Text(f"  neuron_overview shows τ = {model.threshold:g}, {dataset}", "faint")
    if model.n_unused_rows:
        unused = f"{model.n_unused_rows:,} of {model.n_rows:,} rows"
        yield Text(f"  {unused} of U and E are no token's, left out of token lists", "faint")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="faint")
    for heading in ("  stage", "", "layers", "rows", "took", "finished (UTC)"):
        counts = heading in ("layers", "rows", "took")
        table.add_column(heading, justify="right" if counts else "left", no_wrap=True)
    for stage in model.stages:
        table.add_row(*_stage(stage))
    yield table
    missing = _missing(model.stages)
    if missing:
        yield hint(f"  next: {ingest_command(model.model, model.source, *missing)}")
    if model.open_run is not None:
        yield Padding(_open_run(model.open_run), (0, 0, 0, 2))


def _one_line(line: Text) -> Text:
    """Keep a path in the line it stands in: a terminal wraps it so that it can be copied."""
    line.no_wrap, line.overflow = True, "ignore"
    return line


def _missing(stages: Sequence[StageStatus]) -> list[str]:
    """Return what to give `ingest --stages` so that nothing is missing."""
    kinds = [stage.stage.split(" ")[0] for stage in stages if stage.layers_done < stage.layers]
    wanted = {_PART_OF.get(kind, kind) for kind in kinds}
    return [stage for stage in STAGES if stage in wanted]


def _stage(stage: StageStatus) -> tuple[Text, ...]:
    name = Text(f"  {visible(stage.stage)}")
    if stage.dataset:
        name.append(f"\n    {head(stage.dataset, _DATASET_CELLS)}", "faint")
    done = stage.layers_done == stage.layers
    # A part of a stage that is whole needs no bar: it has one step, or takes no time.
    shown = not done or stage.stage in STAGES
    layers = Text(f"{stage.layers_done}/{stage.layers}", "" if done else "caution")
    bar, layers = (_bar(stage), layers) if shown else (Text(), Text())
    if stage.finished_at is None:
        return (
            name,
            bar,
            layers,
            Text(MISSING, "faint"),
            Text(),
            Text("not ingested", "caution"),
        )
    return (
        name,
        bar,
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
        f"! run {run.run_id} of {moment(run.started_at)} ({visible(run.stages)}; "
        f"{visible(run.device)}) did not finish; run the same command again to go on",
        "caution",
    )


def moment(stamp: str) -> str:
    """Return a stored time to the minute."""
    return visible(stamp[:16]).replace("T", " ")
