"""The models of a database and the known ones: as tables for people, as rows for programs."""

from collections.abc import Iterable
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.asking.statements import Rows
from neurondb.jobs import STAGES
from neurondb.known_models import KnownModel
from neurondb.reading.models import Model, ModelSummary
from neurondb.render.text import tail, visible

MODEL_COLUMNS = (
    *("name", "source", "architecture", "gated", "activation", "n_layers", "d_mlp", "n_neurons"),
    *("d_model", "d_vocab", "n_unused_rows", "quantisation", "threshold", "dataset", "stages"),
)
_SOURCE_CELLS = 30
KNOWN_COLUMNS = ("slug", "hub_id", "architecture", "licence_asked", "in_papers", "description")


def model_rows(summaries: Iterable[ModelSummary]) -> Rows:
    """Return one row a model; stages are joined by commas, as `ingest --stages` takes them."""
    return Rows(MODEL_COLUMNS, iter([_model_row(one) for one in summaries]))


def _model_row(one: ModelSummary) -> tuple[Any, ...]:
    m = one.model
    shape = (m.n_layers, m.d_mlp, m.n_neurons, m.d_model, m.d_vocab, m.n_unused_rows)
    kind = (m.name, m.source, m.architecture, m.gated, m.activation)
    return (*kind, *shape, m.quantisation, m.threshold, one.dataset, ",".join(_stages(one)))


def _stages(one: ModelSummary) -> list[str]:
    """Return the complete stages that `ingest --stages` takes; their parts go without saying."""
    return [stage for stage in STAGES if stage in one.stages]


def models_table(summaries: Iterable[ModelSummary]) -> RenderableType:
    """Return two lines a model; what is in the second one of a cell is fainter."""
    table = _table("model\nread from", "type\n", "layers × d_mlp\nneurons", "d_model\ntokens", "")
    table.columns[2].justify = table.columns[3].justify = "right"
    table.columns[4].no_wrap = False
    for one in summaries:
        m = one.model
        shown = ", ".join([f"τ {m.threshold:g}", *([visible(one.dataset)] if one.dataset else [])])
        table.add_row(
            _stacked(visible(m.name), tail(m.source, _SOURCE_CELLS), "name"),
            _stacked(visible(m.architecture), _kind(m)),
            _stacked(f"{m.n_layers} × {m.d_mlp:,}", f"{m.n_neurons:,}"),
            _stacked(f"{m.d_model:,}", f"{m.n_tokens:,}"),
            _stacked(", ".join(_stages(one)) or "nothing complete", shown),
        )
    return table


def _kind(model: Model) -> str:
    kind = "gated" if model.gated else "ungated"
    return kind if model.quantisation is None else f"{kind}, {visible(model.quantisation)}"


def _stacked(above: str, below: str, style: str = "") -> Text:
    return Text.assemble((above, style), "\n", (below, "faint"))


def known_rows(known: Iterable[KnownModel]) -> Rows:
    """Return one row a known model."""
    rows = [
        (one.slug, one.hub_id, one.model_type, one.gated_repo, one.in_papers, one.description)
        for one in known
    ]
    return Rows(KNOWN_COLUMNS, iter(rows))


def known_table(known: Iterable[KnownModel]) -> RenderableType:
    """Return one line a known model."""
    table = _table("model", "hub id", "studied", "licence")
    for one in known:
        table.add_row(
            Text(one.slug, "name"),
            Text(one.hub_id),
            Text("papers" if one.in_papers else "", "faint"),
            Text("accept" if one.gated_repo else "", "faint"),
        )
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="faint")
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table
