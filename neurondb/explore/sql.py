"""The SQL that pages show beside their panels, with its values written out."""

from dataclasses import dataclass, field
from functools import cache
from typing import Final

from neurondb.errors import UnknownNameError
from neurondb.figures import find_figure
from neurondb.named_queries import load
from neurondb.sql.query_files import NamedQuery, parse_query
from neurondb.sql.running import Parameters
from neurondb.sql.written_out import fill_parameters, strip_header

LAYER_COSINES: Final = """SELECT
       n.name,
       c.gate_out, c.in_out, c.gate_in
FROM named_neurons n
JOIN cosines c ON c.neuron_id = n.neuron_id
WHERE n.model_id = :model_id AND n.layer = :layer"""
"""The statement behind the scatter of a layer, which three pages draw."""


@dataclass(frozen=True)
class Sql:
    """The statement behind a panel, for Datasette's editor.

    Attributes:
        title: what the statement returns, as a title.
        statement: SQL over the relations that users can rely on.
        parameters: the values of its `:name` parameters.
    """

    title: str
    statement: str
    parameters: Parameters = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The statement with its values written out: it runs as it stands."""
        return fill_parameters(self.statement.strip(), self.parameters)


def make_layer_sql(model_id: int, layer: int) -> Sql:
    """Return the statement of a layer's cosines."""
    bindings = {"model_id": model_id, "layer": layer}
    return Sql(f"the cosines of layer {layer}", LAYER_COSINES, bindings)


def make_named_sql(name: str, **given: str) -> Sql:
    """Return a named query with these parameters, the others at their defaults."""
    query = _load(name)
    return Sql(query.title, strip_header(query), query.bindings(given))


def make_figure_sql(name: str, **given: str) -> Sql:
    """Return the statement of a figure's numbers with these parameters, others at their defaults.

    Raises:
        UnknownNameError: when the figure draws what is not in the database.
    """
    query = _load_statement(name)
    return Sql(query.title, strip_header(query), query.bindings(given))


@cache
def _load_statement(figure: str) -> NamedQuery:
    statement = find_figure(figure).sql
    if statement is None:
        raise UnknownNameError(f"{figure} draws nothing that SQL could ask for")
    return parse_query(statement, figure)


@cache
def _load(name: str) -> NamedQuery:
    return load(name)
