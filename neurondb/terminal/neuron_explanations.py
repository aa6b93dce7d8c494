"""What programs said that a neuron is, and how well that tells texts apart."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from neurondb.contracts.explain import EXPLANATION
from neurondb.formatting.numbers import format_share
from neurondb.formatting.text import keep_start, make_visible, wrap_parts
from neurondb.reading.explanations import DetectionScore, Explanation

LONGEST = 1_000
"""Cells of an explanation that are shown."""
INDENT = 2


def draw_explanations(explanations: Sequence[Explanation], width: int) -> RenderableType:
    """Return who said what, each with its scores below.

    Args:
        explanations: the best scored first.
        width: cells of a line.
    """
    parts: list[RenderableType] = []
    for one in explanations:
        parts.append(Text(wrap_parts(_list_origin(one), width), style="faint"))
        body = Text(keep_start(one.text, LONGEST))
        if one.note:
            body.append(f"\n{keep_start(one.note, LONGEST)}", "faint")
        for key, value in one.more:
            body.append(f"\n{make_visible(key)} ", "faint").append(keep_start(value, LONGEST))
        for score in one.scores:
            body.append(f"\n{wrap_parts(describe_score(score), width - INDENT)}", "faint")
        parts.append(Padding(body, (0, 0, 0, INDENT)))
    return Group(*parts)


def _list_origin(one: Explanation) -> Iterator[str]:
    key = "" if one.key == EXPLANATION else f", {make_visible(one.key)}"
    yield f"{make_visible(one.source)}{key}"
    if one.version is not None:
        yield f"version {make_visible(one.version)}"
    if one.created_at is not None:
        yield one.created_at[:10]


def describe_score(score: DetectionScore) -> Iterator[str]:
    """Yield the parts of a line on how well an explanation tells texts apart."""
    n_examples = score.true_positives + score.false_negatives
    n_controls = score.true_negatives + score.false_positives
    if score.balanced_accuracy is None:
        yield "balanced accuracy –"
    else:
        yield f"balanced accuracy {format_share(score.balanced_accuracy)}"
    yield f"{score.true_positives} of {n_examples} examples of {score.sign_case} told right"
    kind = "random texts" if score.controls == "random" else "texts of other neurons"
    yield f"{score.true_negatives} of {n_controls} {kind} told right"
    if score.unanswered:
        yield f"{score.unanswered} unanswered"
    yield make_visible(score.scorer)
