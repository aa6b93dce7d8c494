"""Neurons related to one by weights: `downstream(29.808)`, `upstream(29.808 gate)`, and so on.

In the parentheses stands a neuron, of each model that the question covers, and behind it, if need
be, the vector that is meant (gate, in or out) and the sign of the cosine (+ or −).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, astuple
from typing import Final

from neurondb.errors import ExpressionError
from neurondb.find.percentiles import get_base_column
from neurondb.find.terms import Between, Compare, Expression, IsRelated, Missing, OneOf, Place
from neurondb.name_matching import quote_word, suggest_names
from neurondb.neurons import NeuronPlace, match_neuron
from neurondb.reading.models import Model
from neurondb.schema.codes import VECTORS
from neurondb.schema.neighbour_views import NEIGHBOUR_COLUMNS
from neurondb.sql.running import Value

NEED: Final = "neighbours"
"""What a question about related neurons needs, as a named query's header has it."""
RELATIONS: Final = ("downstream", "upstream", "neighbours")
_SPELLED: Final = re.compile(
    r"(?P<name>downstream|upstream|neighbou?rs?)\((?P<inside>.*)\)", re.IGNORECASE | re.DOTALL
)
_SIGNS: Final = {"+": 1, "-": -1, "−": -1, "nearest": 1, "opposite": -1}
_VECTORS_OF: Final = {
    "downstream": ("gate", "in"),
    "upstream": ("gate", "in"),
    "neighbours": VECTORS,
}
_OWN: Final = """
        SELECT m.first_neuron_id + {layer} * m.d_mlp + {neuron}
        FROM models m
        WHERE {layer} < m.n_layers AND {neuron} < m.d_mlp"""
# The id is that of a neuron of this expert only where the layer is divided, and the expert has it.
_OWN_OF_EXPERT: Final = """
        SELECT n.neuron_id
        FROM models m
        JOIN neurons n
          ON n.neuron_id = m.first_neuron_id + {layer} * m.d_mlp + {expert} * m.d_expert + {neuron}
         AND n.layer = {layer} AND n.expert = {expert}"""
_LARGEST: Final = 10**9
"""No model has as many layers, or neurons in one."""
_SOURCES: Final = {
    "downstream": "SELECT r.reader_id FROM connection_rows r WHERE r.writer_id IN ({own}){fits}",
    "upstream": "SELECT r.writer_id FROM connection_rows r WHERE r.reader_id IN ({own}){fits}",
    "neighbours": "SELECT r.other_id FROM neighbour_rows r WHERE r.neuron_id IN ({own}){fits}",
}


def is_related_word(word: str) -> bool:
    """Tell whether a word is one of these terms, well written or not."""
    return _SPELLED.fullmatch(word) is not None


def parse_related(word: str, where: str) -> IsRelated:
    """Return the term that a word is.

    Args:
        word: One for which `is_related_word` holds.
        where: Where it stands, for a message.

    Raises:
        ExpressionError: when what stands in the parentheses is no neuron, or no vector or sign.
    """
    match = _SPELLED.fullmatch(word)
    assert match is not None
    name = match["name"].lower()
    relation = name if name in _VECTORS_OF else "neighbours"
    first, *others = re.split(r"[\s,]+", match["inside"].strip())
    place = match_neuron(first)
    if place is None:
        raise ExpressionError(
            f"{quote_word(word)} {where} needs a neuron in its parentheses, as {relation}(29.808)"
        )
    vectors: list[str] = []
    signs: list[int] = []
    for other in filter(None, others):
        if other.lower() in _VECTORS_OF[relation]:
            vectors.append(other.lower())
        elif other.lower() in _SIGNS:
            signs.append(_SIGNS[other.lower()])
        else:
            known = (*_VECTORS_OF[relation], *_SIGNS)
            hint = suggest_names(other, known)
            raise ExpressionError(
                f"{quote_word(word)} {where}: {quote_word(other)} is neither a vector "
                f"({', '.join(_VECTORS_OF[relation])}) nor a sign (+, -){hint}"
            )
    return IsRelated(relation, Place(*place), tuple(dict.fromkeys(vectors)), sum(set(signs)))


def select_related(term: IsRelated, bind: Callable[[Value], str]) -> str:
    """Return the SELECT of the neurons that are related to a neuron, in every model that has it."""
    fits = ""
    if term.vectors:
        codes = ", ".join(str(VECTORS.index(vector)) for vector in term.vectors)
        fits += f" AND r.vector_id IN ({codes})"
    if term.sign:
        fits += f" AND r.cosine {'>' if term.sign > 0 else '<'} 0"
    own = _OWN if term.place.expert is None else _OWN_OF_EXPERT
    own = own.format_map(
        {
            name: f"CAST({bind(min(number, _LARGEST))} AS BIGINT)"
            for name, number in asdict(term.place).items()
            if number is not None
        }
    )
    return "\n    " + _SOURCES[term.relation].format(own=own, fits=fits)


def needs_neighbours(terms: Iterable[Expression]) -> bool:
    """Tell whether terms are about related neurons, or about how near the nearest is."""
    return any(
        isinstance(term, IsRelated)
        or (
            isinstance(term, Compare | Between | OneOf | Missing)
            and get_base_column(term.column) in NEIGHBOUR_COLUMNS
        )
        for term in terms
    )


def explain_no_relations(terms: Iterable[Expression], models: Sequence[Model]) -> Iterator[str]:
    """Yield a line for each term on a neuron that nobody can be related to in that way."""
    for term in terms:
        if not isinstance(term, IsRelated):
            continue
        layer, name = term.place.layer, NeuronPlace(*astuple(term.place)).name
        if term.relation == "upstream" and layer == 0:
            yield f"nobody is upstream of {name}: no layer is before its own"
        for model in models:
            if term.relation == "downstream" and layer == model.n_layers - 1:
                yield (
                    f"nobody is downstream of {name} in {model.name}: no layer is behind its own"
                )
