"""What Datasette's own pages say of our tables: from the comments of the schema."""

from typing import Any, Final

from neurondb.explore.canned import canned_queries
from neurondb.schema import VIEWS, metadata

TITLE: Final = "NeuronDB"
DESCRIPTION: Final = "Neurons of language models, analysed and queryable."

_LABELS: Final = {"models": "name", "rw_classes": "name", "dataset_rows": "name", "texts": "text"}
"""Table → the column by which links to its rows read."""

_FACETS: Final = {
    "models": ["architecture", "gated"],
    "ingest_steps": ["model_id", "stage"],
    "ingest_runs": ["model_id", "tool_version"],
    "ablation_runs": ["model_id", "kind", "mode", "condition"],
    "ablation_results": ["metric", "filter"],
    "annotations": ["source", "key"],
}
"""Table → columns to narrow it by; tables of a row a neuron would be counted for it every time."""

_INTERNAL: Final = ("alembic_version", "sqlite_stat1", "sqlite_stat4")


def description(name: str) -> dict[str, Any]:
    """Return Datasette's metadata for a database of this name: tables, columns, queries."""
    tables = {str(table.name): _table(table) for table in metadata.sorted_tables}
    tables |= {view.name: _view(view) for view in VIEWS}
    tables |= {internal: {"hidden": True} for internal in _INTERNAL}
    database = {"title": TITLE, "tables": tables, "queries": canned_queries()}
    return {"title": TITLE, "description": DESCRIPTION, "databases": {name: database}}


def _table(table: Any) -> dict[str, Any]:
    columns = {str(column.name): column.comment for column in table.columns if column.comment}
    described: dict[str, Any] = {"columns": columns}
    if table.name in _LABELS:
        described["label_column"] = _LABELS[table.name]
    if table.name in _FACETS:
        described["facets"] = _FACETS[table.name]
    if table.name.endswith("_rows"):  # codes, which a view shows in words
        described["hidden"] = True
    return described


def _view(view: Any) -> dict[str, Any]:
    described: dict[str, Any] = {"description": view.comment}
    if view.name == "neuron_overview":
        from neurondb.asking.vocabulary import NUMBERS, WORDS

        described["columns"] = WORDS | NUMBERS
    return described


def as_yaml() -> str:
    """Return db/metadata.yaml: the same for `datasette db/neurondb.db --metadata …`."""
    import yaml  # type: ignore[import-untyped]

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]
        """Writes texts of several lines as such."""

    def represent(dumper: Any, text: str) -> Any:
        style = "|" if "\n" in text else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, represent)
    found = description("neurondb")
    text = yaml.dump(found, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=98)
    return f"# Made by neurondb.explore.describing; a test keeps it up to date.\n{text}"
