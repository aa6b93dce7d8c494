"""What Datasette's own pages say of our tables, and the named queries as its forms.

The texts are the comments of the schema and the headers of the named queries. Datasette binds every
field of a form as text, and an empty one as ''. So every `:name` of a statement is wrapped: ''
counts as not given, and what is given becomes of its type.
"""

from html import escape
from typing import Any, Final

from neurondb.explore.site import TITLE
from neurondb.named_queries import load_all
from neurondb.schema import VIEWS, metadata
from neurondb.sql.query_files import NamedQuery, Parameter
from neurondb.sql.written_out import format_literal, replace_parameters, strip_header

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
    "concept_runs": ["model_id"],
    "clamp_runs": ["model_id", "hook", "position"],
    "entropy_runs": ["model_id"],
    "attribute_runs": ["model_id", "mode", "condition"],
    "generation_runs": ["model_id"],
    "universality_runs": ["model_id"],
    "neighbour_runs": ["model_id"],
    "head_runs": ["model_id"],
}
"""Table → columns to narrow it by; tables of a row a neuron would be counted for it every time."""

_INTERNAL: Final = ("alembic_version", "sqlite_stat1", "sqlite_stat4")


def describe_database(name: str) -> dict[str, Any]:
    """Return Datasette's metadata for a database of this name: tables, columns, queries."""
    tables = {str(table.name): _describe_table(table) for table in metadata.sorted_tables}
    tables |= {view.name: _describe_view(view) for view in VIEWS}
    tables |= {internal: {"hidden": True} for internal in _INTERNAL}
    database = {"title": TITLE, "tables": tables, "queries": configure_queries()}
    return {"title": TITLE, "description": DESCRIPTION, "databases": {name: database}}


def _describe_table(table: Any) -> dict[str, Any]:
    columns = {str(column.name): column.comment for column in table.columns if column.comment}
    description: dict[str, Any] = {"columns": columns}
    if table.name in _LABELS:
        description["label_column"] = _LABELS[table.name]
    if table.name in _FACETS:
        description["facets"] = _FACETS[table.name]
    if table.name.endswith("_rows"):  # codes, which a view shows in words
        description["hidden"] = True
    return description


def _describe_view(view: Any) -> dict[str, Any]:
    description: dict[str, Any] = {"description": view.comment}
    if view.name == "neuron_overview":
        from neurondb.find.columns import NUMBER_COLUMNS, OTHER_COLUMNS

        description["columns"] = OTHER_COLUMNS | NUMBER_COLUMNS
    return description


def format_yaml() -> str:
    """Return db/metadata.yaml: the same for `datasette db/neurondb.db --metadata …`."""
    import yaml

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]
        """Writes texts of several lines as such."""

    def represent(dumper: Any, text: str) -> Any:
        style = "|" if "\n" in text else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, represent)
    description = describe_database("neurondb")
    text = yaml.dump(description, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=98)
    return f"# Made by neurondb.explore.metadata; a test keeps it up to date.\n{text}"


_TYPES: Final = {"integer": "INTEGER", "natural": "INTEGER", "number": "REAL"}

_NEURON: Final = """CASE WHEN {given} LIKE '%.%' THEN COALESCE((
    SELECT expert_place.neuron FROM named_neurons expert_place
    JOIN models of_expert ON of_expert.model_id = expert_place.model_id
    WHERE of_expert.name = :model AND expert_place.layer = CAST(:layer AS INTEGER)
      AND expert_place.expert = CAST({given} AS INTEGER)
      AND expert_place.expert || '.' || expert_place.expert_neuron = {given}), 2147483647)
    ELSE CAST({given} AS INTEGER) END"""
"""A neuron of a mixture is found by its number in the layer, or by EXPERT.NUMBER.

Where there is none the number is one that no layer has, for NULL would stand for every neuron.
"""

_CLASS: Final = "(SELECT rw.name FROM rw_classes rw WHERE {given} IN (rw.name, rw.io_name))"
"""A class is found by either of its two names."""


def configure_queries() -> dict[str, dict[str, Any]]:
    """Return every named query as Datasette's configuration has it."""
    return {query.name: configure_query(query) for query in load_all()}


def configure_query(query: NamedQuery) -> dict[str, Any]:
    """Return one named query as Datasette's configuration has it."""
    return {
        "title": query.title,
        "description_html": _describe_query(query),
        "sql": convert_parameters(query),
        "params": [parameter.name for parameter in query.parameters],
        "hide_sql": True,
    }


def convert_parameters(query: NamedQuery) -> str:
    """Return a query's SQL, without its header, that takes text for every parameter."""
    by_name = {parameter.name: parameter for parameter in query.parameters}
    return replace_parameters(strip_header(query), lambda name: _wrap_parameter(by_name[name]))


def _wrap_parameter(parameter: Parameter) -> str:
    sql = f"NULLIF(:{parameter.name}, '')"
    if parameter.kind == "neuron":
        return _NEURON.format(given=sql)
    if parameter.kind in _TYPES:
        sql = f"CAST({sql} AS {_TYPES[parameter.kind]})"
    if parameter.default is not None:
        sql = f"COALESCE({sql}, {format_literal(parameter.default)})"
    return _CLASS.format(given=sql) if parameter.kind == "class" else sql


def _describe_query(query: NamedQuery) -> str:
    """Return the description and what the fields are for, as HTML."""
    rows = "".join(f"<li>{_describe_parameter(parameter)}</li>" for parameter in query.parameters)
    text = f"<p>{escape(query.description)}</p>"
    return f"{text}<ul>{rows}</ul>" if rows else text


def _describe_parameter(parameter: Parameter) -> str:
    text = f"<code>{escape(parameter.name)}</code>: {escape(parameter.meaning)}"
    if parameter.choices:
        text += f" ({escape(', '.join(parameter.choices))})"
    if parameter.required:
        return f"{text}; required"
    default = "all" if parameter.default is None else str(parameter.default)
    return f"{text}; left empty: {escape(default)}"
