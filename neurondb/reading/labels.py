"""What a neuron does on each part of a dataset (METHODS §5)."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from neurondb.schema import tables


@dataclass(frozen=True)
class LabelReading:
    """A neuron on the texts of one label, canonical sign; None where no token was counted.

    Attributes:
        freq: share of tokens with x_gate > 0; None when ungated.
        post_positive: share of tokens with hook_post > 0.
    """

    label: str
    n_tokens: int
    freq: float | None
    pre_mean: float | None
    pre_variance: float | None
    post_mean: float | None
    post_variance: float | None
    post_positive: float | None


def labels(connection: Connection, neuron_id: int, dataset_id: int) -> tuple[LabelReading, ...]:
    """Return a neuron's labels, where it fires most first; ungated: by the share of post > 0."""
    s, names = tables.label_stats.c, tables.labels
    rows = connection.execute(
        select(
            names.c.label,
            s.n_tokens,
            s.freq,
            s.pre_mean,
            s.pre_variance,
            s.post_mean,
            s.post_variance,
            s.post_positive,
        )
        .join_from(tables.label_stats, names, names.c.label_id == s.label_id)
        .where((s.neuron_id == neuron_id) & (s.dataset_id == dataset_id))
    )
    return tuple(sorted((LabelReading(*row) for row in rows), key=_descending))


def _descending(one: LabelReading) -> tuple[float, str]:
    fires = one.post_positive if one.freq is None else one.freq
    return (1.0 if fires is None else -fires, one.label)
