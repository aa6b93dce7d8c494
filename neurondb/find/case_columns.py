"""Universality by sign case in find expressions: `gate+_in-.universal>0.5`.

Like effects under a condition, these are no columns of neuron_overview: each is a lookup of its own
in SQL that asks for it. `parse_derived_column` knows both.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, exists, select

from neurondb.errors import ExpressionError
from neurondb.find.condition_columns import ConditionColumn, parse_condition_column
from neurondb.find.keywords import CASE_QUALIFIERS
from neurondb.name_matching import quote_word, suggest_names
from neurondb.reading.models import Model
from neurondb.reading.universality import find_shown_universality
from neurondb.schema import tables
from neurondb.schema.codes import GATED_CASES, SIGN_CASES

UNIVERSAL_COLUMN: Final = "universal"
_SPELLED: Final = re.compile(rf"(?P<case>(?:gate|in)[^.]*)\.{UNIVERSAL_COLUMN}")

# As neuron_overview has it over all tokens: the mean over the other models, in the newest run.
_VALUE: Final = """(SELECT AVG(u.correlation) - AVG(u.baseline) FROM universality_cases u
    WHERE u.neuron_id = neuron_overview.neuron_id AND u.case_id = {case}
      AND u.run_id = (SELECT MAX(r.run_id) FROM universality_runs r
        WHERE r.model_id = (SELECT n.model_id FROM neurons n
                            WHERE n.neuron_id = neuron_overview.neuron_id)))"""


class CaseColumn(NamedTuple):
    """The excess correlation of a neuron in one of its sign cases."""

    case: str

    @property
    def spelled(self) -> str:
        """The column as users write it, and as answers call it."""
        return f"{self.case}.{UNIVERSAL_COLUMN}"

    @property
    def value_sql(self) -> str:
        """SQL for it of the neuron of a row of neuron_overview; NULL where unknown."""
        return _VALUE.format(case=SIGN_CASES.index(self.case))

    @property
    def gated(self) -> bool:
        """Whether it is a case of neurons with a gate."""
        return SIGN_CASES.index(self.case) in GATED_CASES


def parse_case_column(key: str) -> CaseColumn | None:
    """Return the column that a key such as `gate+_in-.universal` means; None for other keys.

    Raises:
        ExpressionError: when what stands before is like a sign case and is none.
    """
    match = _SPELLED.fullmatch(key.lower().replace("−", "-"))
    if match is None:
        return None
    qualifier = match["case"]
    if qualifier not in CASE_QUALIFIERS:
        hint = suggest_names(qualifier, SIGN_CASES)
        raise ExpressionError(f"{quote_word(key)}: unknown sign case {quote_word(qualifier)}{hint}")
    return CaseColumn(CASE_QUALIFIERS[qualifier])


def parse_derived_column(key: str) -> ConditionColumn | CaseColumn | None:
    """Return the column beyond those of neuron_overview that a key means; None for other keys.

    Raises:
        ExpressionError: when it is spelled like one and is none.
    """
    return parse_case_column(key) or parse_condition_column(key)


def explain_missing_cases(
    connection: Connection, columns: Sequence[str], models: Sequence[Model]
) -> Iterator[str]:
    """Yield a line for each model whose run has no sign cases, where columns are of some."""
    asked = [case for case in map(parse_case_column, columns) if case is not None]
    c = tables.universality_cases.c
    for model in models:
        run_id = find_shown_universality(connection, model)
        suits = any(case.gated == model.gated for case in asked)  # else gates are told of
        if run_id is None or not suits:  # no run at all is told elsewhere
            continue
        if not connection.scalar(select(exists().where(c.run_id == run_id))):
            yield (
                f"neurons of {model.name} were matched over all tokens only: run `neurondb "
                f"universality` as in run {run_id}, with --sign-cases"
            )
