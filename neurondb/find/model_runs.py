"""What a running model was not asked yet: why queries of its runs have no rows, and what runs them.

Named queries say in their headers which kind of run they need (`needs:`).
"""

import shlex
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, Table, select

from neurondb.reading.models import Model
from neurondb.schema import tables

UNIVERSALITY: Final = "universality"


class RunKind(NamedTuple):
    """A kind of run: what a message says there is none of, its table, the command that makes one.

    The command has `{model}` where the model's name stands.
    """

    missing: str
    table: Table
    command: str


RUN_NEEDS: Final = {
    "entropy": RunKind(
        "no neurons of {model} were fixed at values",
        tables.entropy_runs,
        "neurondb entropy {model} --dataset TEXTS",
    ),
    "attributes": RunKind(
        "no attribute rates of {model} are stored",
        tables.attribute_runs,
        "neurondb attributes rate {model} --prompts FILE --sets FILE",
    ),
    "families": RunKind(
        "no families of the neurons of {model} are known",
        tables.family_runs,
        "neurondb families {model} --dataset TEXTS",
    ),
    "generations": RunKind(
        "no texts that {model} generated are stored",
        tables.generation_runs,
        "neurondb generate {model} PROMPT",
    ),
    UNIVERSALITY: RunKind(
        "neurons of {model} were not matched with those of other models",
        tables.universality_runs,
        "neurondb universality {model} OTHER --dataset TEXTS",
    ),
    "neighbours": RunKind(
        "no neighbours and connections of {model} are stored",
        tables.neighbour_runs,
        "neurondb neighbours {model}",
    ),
    "heads": RunKind(
        "neurons of {model} are not compared with attention heads",
        tables.head_runs,
        "neurondb heads {model}",
    ),
}
"""Word in a query's header → the kind of run that it needs."""


def explain_missing_runs(
    connection: Connection, models: Sequence[Model], needs: Collection[str]
) -> Iterator[str]:
    """Yield a line for each kind of run that is needed and that a model has none of."""
    for need, kind in RUN_NEEDS.items():
        if need not in needs:
            continue
        for model in models:
            run_id = kind.table.c.run_id
            of_model = select(run_id).where(kind.table.c.model_id == model.model_id)
            if connection.execute(of_model.limit(1)).first() is None:
                command = kind.command.format(model=shlex.quote(model.name))
                yield f"{kind.missing.format(model=model.name)}: run `{command}`"
