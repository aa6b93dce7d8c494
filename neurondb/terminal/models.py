"""The models of a database and those known by name, and what has been ingested of them.

Tables are for people, rows for programs; the page of `status` says of every model which stages are
complete, and which command goes on with the others.
"""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from neurondb.contracts.ingest import STAGES
from neurondb.formatting.numbers import (
    MISSING,
    format_duration,
    format_size,
    format_time,
    format_whole,
)
from neurondb.formatting.text import format_ingest_command, keep_end, keep_start, make_visible
from neurondb.known_models import KnownModel
from neurondb.reading.models import Model, ModelSummary
from neurondb.reading.status import DatabaseStatus, ModelStatus, OpenRun, StageStatus
from neurondb.sql import Rows
from neurondb.terminal.console import make_hint, make_table

MODEL_COLUMNS: Final = (
    *("name", "source", "architecture", "gated", "activation", "n_layers", "d_mlp", "n_neurons"),
    *("d_model", "d_vocab", "n_unused_rows", "quantisation", "threshold", "dataset", "stages"),
)
_SOURCE_CELLS: Final = 30
KNOWN_COLUMNS: Final = (
    *("slug", "hub_id", "architecture", "licence_asked", "in_papers", "description"),
)


def make_model_rows(summaries: Iterable[ModelSummary]) -> Rows:
    """Return one row a model; stages are joined by commas, as `ingest --stages` takes them."""
    return Rows(MODEL_COLUMNS, iter([_make_model_row(summary) for summary in summaries]))


def _make_model_row(summary: ModelSummary) -> tuple[Any, ...]:
    m = summary.model
    shape = (m.n_layers, m.d_mlp, m.n_neurons, m.d_model, m.d_vocab, m.n_unused_rows)
    kind = (m.name, m.source, m.architecture, m.gated, m.activation)
    return (
        *kind,
        *shape,
        m.quantisation,
        m.threshold,
        summary.dataset,
        ",".join(_list_stages(summary)),
    )


def _list_stages(summary: ModelSummary) -> list[str]:
    """Return the complete stages that `ingest --stages` takes; their parts go without saying."""
    return [stage for stage in STAGES if stage in summary.stages]


def draw_models_table(summaries: Iterable[ModelSummary]) -> RenderableType:
    """Return two lines a model; what is in the second one of a cell is fainter."""
    table = _make_models_table(
        "model\nread from", "type\n", "layers × d_mlp\nneurons", "d_model\ntokens", ""
    )
    table.columns[2].justify = table.columns[3].justify = "right"
    table.columns[4].no_wrap = False
    for summary in summaries:
        m = summary.model
        shows = [
            f"τ {m.threshold:g}",
            *([make_visible(summary.dataset)] if summary.dataset else []),
        ]
        table.add_row(
            _stack(make_visible(m.name), keep_end(m.source, _SOURCE_CELLS), "name"),
            _stack(make_visible(m.architecture), _describe_kind(m)),
            _stack(f"{m.n_layers} × {m.d_mlp:,}", f"{m.n_neurons:,}"),
            _stack(format_whole(m.d_model or None), format_whole(m.n_tokens or None)),
            _stack(", ".join(_list_stages(summary)) or "nothing complete", ", ".join(shows)),
        )
    return table


def _describe_kind(model: Model) -> str:
    kind = "gated" if model.gated else "ungated"
    return kind if model.quantisation is None else f"{kind}, {make_visible(model.quantisation)}"


def _stack(above: str, below: str, style: str = "") -> Text:
    return Text.assemble((above, style), "\n", (below, "faint"))


def make_known_model_rows(known_models: Iterable[KnownModel]) -> Rows:
    """Return one row a known model."""
    rows = [
        (
            known_model.slug,
            known_model.hub_id,
            known_model.model_type,
            known_model.gated_repo,
            known_model.in_papers,
            known_model.description,
        )
        for known_model in known_models
    ]
    return Rows(KNOWN_COLUMNS, iter(rows))


def draw_known_models_table(known_models: Iterable[KnownModel]) -> RenderableType:
    """Return one line a known model."""
    table = _make_models_table("model", "hub id", "studied", "licence")
    for known_model in known_models:
        table.add_row(
            Text(known_model.slug, "name"),
            Text(known_model.hub_id),
            Text("papers" if known_model.in_papers else "", "faint"),
            Text("accept" if known_model.gated_repo else "", "faint"),
        )
    return table


def _make_models_table(*headings: str) -> Table:
    table = make_table()
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table


# --- status ---------------------------------------------------------------------------------

_BAR_CELLS: Final = 8
_DATASET_CELLS: Final = 24
_PART_OF: Final = {
    "classes": "weights",
    "tokens": "vocab",
    "properties": "vocab",
    "logit_effects": "vocab",
    "texts": "activations",
}
"""Parts of a stage in the ledger → the stage that `ingest --stages` takes."""


def draw_status_page(status: DatabaseStatus) -> RenderableType:
    """Return the database's line and, under each model, its stages and its latest run if open."""
    facts = [
        Text(make_visible(status.location), "name"),
        Text(MISSING if status.size_bytes is None else format_size(status.size_bytes)),
        Text(f"schema {status.revision}"),
    ]
    parts: list[RenderableType] = [_keep_on_one_line(Text(" · ").join(facts))]
    for model in status.models:
        parts += [Text(), *_draw_model(model)]
    return Group(*parts)


def _draw_model(model: ModelStatus) -> Iterator[RenderableType]:
    kind = "gated" if model.gated else "ungated"
    weights = "" if model.quantisation is None else f", weights {make_visible(model.quantisation)}"
    yield Text.assemble(
        (make_visible(model.model), "name"),
        f" · {model.layers} layers, {model.neurons:,} {kind} neurons{weights}",
    )
    yield _keep_on_one_line(Text(f"  from {make_visible(model.source)}", "faint"))
    dataset = (
        "no dataset yet" if model.dataset is None else f"dataset {make_visible(model.dataset)}"
    )
    yield Text(f"  neuron_overview shows τ = {model.threshold:g}, {dataset}", "faint")
    if model.n_unused_rows:
        unused = f"{model.n_unused_rows:,} of {model.n_rows:,} rows"
        yield Text(f"  {unused} of U and E are no token's, left out of token lists", "faint")
    table = make_table()
    for heading in ("  stage", "", "layers", "rows", "took", "finished (UTC)"):
        counts = heading in ("layers", "rows", "took")
        # Where room is scarce a date and its time stand below each other; no number is cut.
        wraps = heading.startswith("finished")
        table.add_column(heading, justify="right" if counts else "left", no_wrap=not wraps)
    for stage in model.stages:
        table.add_row(*_draw_stage(stage))
    yield table
    missing = _list_missing_stages(model.stages)
    if missing:
        # An import need not say where the weights are: its user knows.
        is_unknown = not model.n_rows and model.source == model.model
        source = "CHECKPOINT" if is_unknown else model.source
        yield make_hint(f"  next: {format_ingest_command(model.model, source, *missing)}")
    if model.stale_descriptions:
        name = shlex.quote(make_visible(model.model))
        yield make_hint(f"  descriptions are out of date: run `neurondb describe {name}`")
    if model.open_run is not None:
        yield Padding(_draw_open_run(model.open_run), (0, 0, 0, 2))


def _keep_on_one_line(line: Text) -> Text:
    """Keep a path in the line it stands in: a terminal wraps it so that it can be copied."""
    line.no_wrap, line.overflow = True, "ignore"
    return line


def _list_missing_stages(stages: Sequence[StageStatus]) -> list[str]:
    """Return what to give `ingest --stages` so that nothing is missing."""
    kinds = [stage.stage.split(" ")[0] for stage in stages if stage.layers_done < stage.layers]
    missing_kinds = {_PART_OF.get(kind, kind) for kind in kinds}
    return [stage for stage in STAGES if stage in missing_kinds]


def _draw_stage(stage: StageStatus) -> tuple[Text, ...]:
    name = Text(f"  {make_visible(stage.stage)}")
    if stage.dataset:
        name.append(f"\n    {keep_start(stage.dataset, _DATASET_CELLS)}", "faint")
    done = stage.layers_done == stage.layers
    # A part of a stage that is whole needs no bar: it has one step, or takes no time.
    has_layers = not done or stage.stage in STAGES
    layers = Text(f"{stage.layers_done}/{stage.layers}", "" if done else "caution")
    bar, layers = (_draw_progress(stage), layers) if has_layers else (Text(), Text())
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
        Text(format_duration(stage.seconds)),
        Text(format_time(stage.finished_at), "faint"),
    )


def _draw_progress(stage: StageStatus) -> Text:
    filled = _BAR_CELLS * stage.layers_done // max(stage.layers, 1)
    style = "positive" if stage.layers_done == stage.layers else "caution"
    return Text.assemble(("█" * filled, style), ("░" * (_BAR_CELLS - filled), "faint"))


def _draw_open_run(run: OpenRun) -> Text:
    return Text(
        f"! run {run.run_id} of {format_time(run.started_at)} ({make_visible(run.stages)}; "
        f"{make_visible(run.device)}) did not finish; run the same command again to go on",
        "caution",
    )
