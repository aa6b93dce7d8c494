"""Where the numbers of a model come from: which runs made them, from which texts and token rows.

Embeddings may have rows that no token has, such as those that pad a vocabulary to a round number.
Numbers over the vocabulary leave them out; earlier versions counted them (METHODS §4).
"""

import json
from dataclasses import dataclass
from typing import Final, NamedTuple

from sqlalchemy import Connection, func, select

from neurondb.reading.models import Model, match_neurons
from neurondb.schema import tables

WHOLE_MODEL: Final = -1
"""The layer that a step of the whole model has."""

VOCABULARY_STEPS: Final = ("tokens", "vocab", "properties", "logit_effects")
"""The steps whose numbers are over the vocabulary."""


UNUSED_ROWS_SETTING: Final = "unused_rows"
"""The setting of a step that says how many rows it left out; without it, every row counted."""


@dataclass(frozen=True)
class LatestRun:
    """The run that wrote last about a model.

    Attributes:
        started_at: in UTC; likewise `finished_at`, which is None while the run goes on, or when it
            was interrupted.
        dtype: number format of the forward pass.
        fold: whether the norm's gain was folded into the weights; like the four that follow a
            choice of METHODS §1, and None where that was not recorded.
    """

    started_at: str
    finished_at: str | None
    tool_version: str
    torch_version: str
    device: str
    dtype: str
    seed: int
    fold: bool | None
    center: bool | None
    center_gate: bool | None
    fold_post_norm: bool | None
    canonicalise: bool | None


@dataclass(frozen=True)
class Reading:
    """How a model read the dataset that `neuron_overview` shows for it.

    Attributes:
        n_tokens: how many tokens it read.
        max_len: how many tokens of a text it read at most.
        skip_bos: whether the first position of a text was left out.
        n_source_texts: how many texts its own were drawn from; None where they are all, or the
            first ones.
        sample_seed: the seed of that draw.
    """

    dataset: str
    n_texts: int
    n_tokens: int | None
    max_len: int | None
    skip_bos: bool | None
    n_source_texts: int | None = None
    sample_seed: int | None = None


@dataclass(frozen=True)
class StageOrigin:
    """The run that finished a stage of a layer, and with what.

    Attributes:
        dataset: name of the dataset; None for a stage of the weights.
        run: id of the run.
        dtype: number format of the forward pass.
        finished_at: in UTC, as ISO 8601.
    """

    stage: str
    dataset: str | None
    run: int
    tool_version: str
    dtype: str
    device: str
    seed: int
    finished_at: str


class VocabularyStep(NamedTuple):
    """A stored step with numbers over the vocabulary, and how many rows it left out."""

    stage: str
    layer: int
    n_unused: int

    @property
    def name(self) -> str:
        """The step as messages name it, such as `vocab of layer 3`."""
        return self.stage if self.layer < 0 else f"{self.stage} of layer {self.layer}"


def find_latest_run(connection: Connection, model: Model) -> LatestRun | None:
    """Return the run that wrote last about a model; None where no run is recorded."""
    r = tables.ingest_runs.c
    row = connection.execute(
        select(
            *(r.started_at, r.finished_at, r.tool_version, r.torch_version, r.device, r.dtype),
            *(r.seed, r.fold, r.center, r.center_gate, r.fold_post_norm, r.canonicalise),
        )
        .where(r.model_id == model.model_id)
        .order_by(r.run_id.desc())
        .limit(1)
    ).first()
    return None if row is None else LatestRun(**row._mapping)


def find_reading(connection: Connection, model: Model) -> Reading | None:
    """Return how a model read the dataset that it shows; None where it has read none."""
    d, z, sample = tables.dataset_rows, tables.tokenizations, tables.text_samples
    a = tables.activation_stats.c
    # What was imported was read by somebody else, who may say how many tokens were counted.
    imported = (
        select(a.n_tokens)
        .where(match_neurons(a.neuron_id, model), a.dataset_id == model.dataset_id)
        .limit(1)
        .scalar_subquery()
    )
    n_tokens = func.coalesce(z.c.n_tokens, imported).label("n_tokens")
    row = connection.execute(
        select(
            *(d.c.name, d.c.n_texts, n_tokens, z.c.max_len, z.c.skip_bos),
            *(sample.c.n_source_texts, sample.c.seed),
        )
        .outerjoin_from(d, z, (z.c.dataset_id == d.c.dataset_id) & (z.c.model_id == model.model_id))
        .outerjoin(sample, sample.c.dataset_id == d.c.dataset_id)
        .where(d.c.dataset_id == model.dataset_id)
    ).first()
    return None if row is None else Reading(*row)


def read_layer_provenance(
    connection: Connection, model_id: int, layer: int
) -> tuple[StageOrigin, ...]:
    """Return which run finished each stage of a layer, in the order in which they were done."""
    s, r, d = tables.ingest_steps.c, tables.ingest_runs.c, tables.dataset_rows.c
    rows = connection.execute(
        select(
            *(s.stage, d.name, s.run_id, r.tool_version, r.dtype, r.device, r.seed),
            s.finished_at,
        )
        .join_from(tables.ingest_steps, tables.ingest_runs, r.run_id == s.run_id)
        .outerjoin(tables.dataset_rows, d.dataset_id == s.dataset_id)
        .where((s.model_id == model_id) & s.layer.in_((WHOLE_MODEL, layer)))
        .order_by(s.step_id)
    )
    return tuple(StageOrigin(*row) for row in rows)


def list_other_steps(connection: Connection, model_id: int, n_unused: int) -> list[VocabularyStep]:
    """Return the steps that left out another number of rows than `n_unused`, in their order."""
    s = tables.ingest_steps.c
    rows = connection.execute(
        select(s.stage, s.layer, s.settings)
        .where(s.model_id == model_id, s.stage.in_(VOCABULARY_STEPS))
        .order_by(s.step_id)
    )
    steps = (
        VocabularyStep(r.stage, r.layer, json.loads(r.settings).get(UNUSED_ROWS_SETTING, 0))
        for r in rows
    )
    return [step for step in steps if step.n_unused != n_unused]


def count_unused_rows(connection: Connection, model_id: int) -> int:
    """Return how many rows of U and E belong to no token, as far as the database knows.

    Where an earlier version stored the vocabulary, such rows are among the tokens but have no
    spelling. If no token has a spelling, there was no tokenizer, and every row counts.
    """
    m, t = tables.models.c, tables.tokens.c
    n = connection.execute(select(m.n_unused_rows).where(m.model_id == model_id)).scalar_one()
    if n is not None:
        return int(n)
    row = connection.execute(
        select(func.count(), func.count(t.piece)).where(t.model_id == model_id)
    ).one()
    return int(row[0] - row[1]) if row[1] else 0


def list_outdated_steps(connection: Connection, model_id: int) -> list[VocabularyStep]:
    """Return the steps that counted rows that no token has, or left out another number of rows."""
    return list_other_steps(connection, model_id, count_unused_rows(connection, model_id))
