"""The SQL behind `text~'nobel prize'`: a text with the phrase is among a neuron's examples."""

from typing import Final

from neurondb.find.terms import HasText
from neurondb.full_text import Bind, write_condition

# A neuron's examples are looked through until one fits: no index leads from a text to them. Where
# no text fits at all, none is looked at.
_BY_TEXT: Final = """(
    EXISTS (SELECT 1 FROM texts t WHERE {contains}) AND EXISTS (
        SELECT 1
        FROM example_rows r
        WHERE r.neuron_id = neuron_overview.neuron_id{lists}{dataset}
          AND r.text_id IN (SELECT t.text_id FROM texts t WHERE {contains})
    ))"""


def write_text_condition(term: HasText, bind: Bind) -> str:
    """Return the condition of the term on a row of neuron_overview.

    Args:
        term: The term.
        bind: Takes the value of a parameter, and returns how the statement refers to it.
    """
    lists = f" AND r.list_id IN ({', '.join(map(str, term.lists))})" if term.lists else ""
    dataset = ""
    if term.dataset is not None:
        named = f"SELECT d.dataset_id FROM dataset_rows d WHERE d.name = {bind(term.dataset)}"  # noqa: S608
        dataset = f" AND r.dataset_id = ({named})"
    contains = write_condition("texts", "t", (term.phrase,), bind, server=term.server)
    return _BY_TEXT.format(contains=contains, lists=lists, dataset=dataset)
