"""Effects of removing a neuron under a condition on its signs: `ablated[gate-_post+].entropy`.

neuron_overview has the effects at every token. Those under a condition, of which there are eight,
are no columns of it: each is a lookup of its own in SQL that asks for it, so that nobody else pays.
"""

import functools
import re
from typing import Final, NamedTuple

from neurondb.errors import ExpressionError, UsageError
from neurondb.interventions import ESTIMATED_METRICS, METRICS, Condition
from neurondb.name_matching import quote_word
from neurondb.reading.effects import ATTRIBUTION, SINGLE_NEURON

_SPELLED: Final = re.compile(r"(?P<name>ablated|attribution)\[(?P<condition>[^\]]*)\](?P<rest>.*)")
_KINDS: Final = {"ablated": SINGLE_NEURON, "attribution": ATTRIBUTION}
_TABLES: Final = {"ablated": "neuron_effects", "attribution": "neuron_attributions"}
_METRICS: Final = {"ablated": METRICS, "attribution": ESTIMATED_METRICS}

# Single rows by their keys, and no joins: SQLite may make a filter for a join, once a neuron.
_VALUE: Final = """(SELECT e.mean FROM {table} e
    WHERE e.run_id = (SELECT s.run_id FROM shown_condition_runs s
        WHERE s.model_id = (SELECT n.model_id FROM neurons n
                            WHERE n.neuron_id = neuron_overview.neuron_id)
          AND s.kind = '{kind}' AND s.condition = '{condition}')
      AND e.metric = '{metric}' AND e.neuron_id = neuron_overview.neuron_id)"""
_NEURONS: Final = """
    SELECT e.neuron_id
    FROM {table} e
    WHERE e.run_id IN (SELECT s.run_id FROM shown_condition_runs s
                       WHERE s.kind = '{kind}' AND s.condition = '{condition}')
      AND e.metric = '{metric}' AND {{fits}}"""


class ConditionColumn(NamedTuple):
    """What an effect under a condition is: `name` is ablated (measured) or attribution."""

    name: str
    condition: Condition
    metric: str

    @property
    def kind(self) -> str:
        """The kind of the run that has it, each or attribution."""
        return _KINDS[self.name]

    @property
    def spelled(self) -> str:
        """The effect as users write it, and as answers call the column."""
        return f"{self.name}[{self.condition}].{self.metric}"

    @property
    def value_sql(self) -> str:
        """SQL for the effect on the neuron of a row of neuron_overview; NULL where unknown."""
        return self._fill(_VALUE)

    @property
    def neurons_sql(self) -> str:
        """SELECT of neurons by their effect, a condition on `e.mean` to fill in at `{fits}`."""
        return self._fill(_NEURONS)

    def _fill(self, sql: str) -> str:
        return sql.format(
            table=_TABLES[self.name],
            metric=self.metric,
            kind=self.kind,
            condition=self.condition,
        )


@functools.lru_cache(1024)
def parse_condition_column(key: str) -> ConditionColumn | None:
    """Return the effect that a key such as `ablated[gate-_post+].loss` means; None for other keys.

    Raises:
        ExpressionError: when what stands in the brackets is no condition, or what follows no metric
            that there is.
    """
    match = _SPELLED.fullmatch(key.lower().replace("−", "-"))
    if match is None:
        return None
    try:
        condition = Condition.parse(match["condition"])
    except UsageError as error:
        raise ExpressionError(f"{quote_word(key)}: {error}") from error
    name, metric = match["name"], match["rest"].removeprefix(".")
    if metric not in _METRICS[name] or match["rest"] == metric:
        known = ", ".join(f".{metric}" for metric in _METRICS[name])
        raise ExpressionError(f"{quote_word(key)}: the bracket is followed by one of {known}")
    return ConditionColumn(name, condition, metric)
