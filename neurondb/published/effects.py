"""Published effects, of fine-tuning and of ablations, beside those of the stored runs.

Tokens kept from Llama-3.1-8B to its Instruct version (specialised-feature-neurons §3.3, METHODS
§4), and the entropy without OLMo-7B's weakening neurons (weakening-neurons §4, METHODS §6).
"""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, select

from neurondb.published.ablation_patterns import (
    SHARPENING,
    find_result,
    find_weakening_runs,
)
from neurondb.published.comparison import Comparison, compare_within
from neurondb.published.literature import canonicalise_name, identify_model, read_figures
from neurondb.reading.models import MODEL_COLUMNS, Model
from neurondb.reading.runs import MeasuredRun
from neurondb.schema import tables

TOKENS_GROUP: Final = "top tokens of in kept by fine-tuning"
ABLATION_GROUP: Final = "entropy, clean − ablated, zero ablation of weakening neurons"

ROUNDED_WEIGHTS_KEPT: Final = 0.995
ROUNDED_LOGITS_KEPT: Final = 0.981
"""The floor: shares of neurons that keep their top token when nothing happens but rounding to
bfloat16, of `in` and U, and of the logits too. Measured on SmolLM2-135M-Instruct: of 46,080 neurons
45,852 and 45,192. The published share was computed with a model in half precision, ours in float32:
they may differ by what rounding the logits costs."""

_SMALL: Final = 0.25
"""An effect that is published as next to nothing: at most a quarter of the whole class's."""


def compare_kept_tokens(connection: Connection, name: str, model: Model) -> Iterator[Comparison]:
    """Yield the share of kept top tokens of a stored comparison of the two published models."""
    figures = read_figures()["kept_top_tokens"]
    sides = [canonicalise_name(figures[side]) for side in ("before", "after")]
    if name not in sides:
        return
    own = sides.index(name)
    c = tables.comparisons.c
    this, other = (c.model_a, c.model_b) if own == 0 else (c.model_b, c.model_a)
    m = tables.models.c
    rows = connection.execute(
        select(c.share_same_token, *MODEL_COLUMNS)
        .join_from(tables.comparisons, tables.models, m.model_id == other)
        .where(this == model.model_id)
        .order_by(c.comparison_id)
    )
    shares = [row[0] for row in rows if identify_model(Model(*row[1:])) == sides[1 - own]]
    yield compare_within(
        TOKENS_GROUP, " → ".join(sides), figures["share"], shares[-1] if shares else None,
        0.0005 + (1 - ROUNDED_LOGITS_KEPT), figures["source"],
        note=f"rounding to bfloat16 alone keeps {ROUNDED_WEIGHTS_KEPT:.1%} (weights), "
        f"{ROUNDED_LOGITS_KEPT:.1%} (logits too)",
    )  # fmt: skip


def compare_ablations(connection: Connection, name: str, model: Model) -> Iterator[Comparison]:
    """Yield what zero ablation of the weakening neurons does to the entropy, by condition.

    Only the direction is compared. The published runs are of 243 neurons, as the class was before
    its rule was corrected, and on other texts; ours are of all that the database calls weakening.
    """
    figures = read_figures()["ablations"]
    if canonicalise_name(figures["model"]) != name:
        return
    runs = find_weakening_runs(connection, model)
    source = f"weakening-neurons §4, {figures['file']} of {figures['source']}"
    whole = None if None not in runs else _read_mean(runs[None][0])
    small = None if whole is None else _SMALL * abs(whole)
    for condition, published in figures["means"].items():
        found = runs.get(condition or None)
        ours = None if found is None else _read_mean(found[0])
        is_large = condition in ("", SHARPENING)
        low, high = (None, 0.0) if is_large else (None if small is None else -small, small)
        yield Comparison(
            ABLATION_GROUP, condition or "everywhere", None, published, ours, low, high,
            source, "the direction" if is_large else "small beside the whole class",
        )  # fmt: skip
    baselines = () if None not in runs else runs[None][1]
    means = [mean for run in baselines if (mean := _read_mean(run)) is not None]
    yield Comparison(
        ABLATION_GROUP, "random neurons of the same layers", None, figures["baseline"],
        sum(means) / len(means) if means else None, None if small is None else -small, small,
        source, "small beside the whole class",
    )  # fmt: skip


def _read_mean(run: MeasuredRun) -> float | None:
    result = find_result(run)
    return None if result is None else result.mean
