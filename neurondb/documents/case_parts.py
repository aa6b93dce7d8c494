"""What the sections of a case study share: columns, tokens, texts around a peak, percentiles."""

from collections.abc import Iterable
from typing import Final

from neurondb.documents.markup import Column, Faint, Inline, Mark, Text, Token, join_texts
from neurondb.formatting.numbers import MISSING, format_signed
from neurondb.formatting.text import ELLIPSIS, format_token, keep_end, keep_start
from neurondb.reading.excerpts import Excerpt
from neurondb.reading.layer_places import LayerPlace
from neurondb.reading.vocabulary import ScoredToken

PAIR_NAMES: Final = {
    "gate_in": "cos(gate, in)",
    "gate_out": "cos(gate, out)",
    "in_out": "cos(in, out)",
}
"""How the cosines of a neuron are written."""
BOS_ONLY: Final = (
    "Every peak of this list stands at position 0: it says something about BOS, not about text."
)
LONG_BEFORE, LONG_AFTER = 72, 40
"""Columns of text before and after a peak, in a list of texts."""
SHORT_BEFORE, SHORT_AFTER = 44, 18
"""The same in the overview, whose texts are shortened as in Tables 3 and 4."""

_TOKEN_CELLS: Final = 24


def make_columns(*titles: str) -> tuple[Column, ...]:
    """Return columns; one whose title begins with `#` has numbers."""
    return tuple(Column(title.removeprefix("#"), title.startswith("#")) for title in titles)


def show_token(text: str | None, token_id: int) -> Token:
    """Return a token, shortened where it is long; by its id where its text is not stored."""
    return Token(f"#{token_id}" if text is None else format_token(text, _TOKEN_CELLS))


def show_scored_token(scored: ScoredToken) -> Text:
    """Return a token and its cosine with the vector whose list it is in."""
    return (show_token(scored.token, scored.token_id), f" {format_signed(scored.cosine, 3)}")


def list_tokens(tokens: Iterable[ScoredToken]) -> Text:
    """Return tokens side by side."""
    return join_texts((show_token(one.token, one.token_id) for one in tokens), " ")


def show_excerpt(excerpt: Excerpt, before: int = LONG_BEFORE, after: int = LONG_AFTER) -> Text:
    """Return a shortened text whose peak token is marked.

    Args:
        excerpt: the text before the peak, the peak's token, and the text after it.
        before: columns of text before the peak at most.
        after: columns of text after it at most.
    """
    if excerpt.peak is None:
        start = keep_start(excerpt.after, before + after)
        return (Faint("(tokens not stored) "), start)
    text_before = excerpt.before if excerpt.starts else ELLIPSIS + excerpt.before
    text_after = excerpt.after if excerpt.ends else excerpt.after + ELLIPSIS
    parts: tuple[Inline, ...] = (
        keep_end(text_before, before),
        Mark(format_token(excerpt.peak, _TOKEN_CELLS)),
        keep_start(text_after, after),
    )
    return parts


def format_number(value: float | None) -> str:
    """Return a number with its sign and three significant digits; never −0."""
    if value is None:
        return MISSING
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e5:
        return f"{value:+.2e}"
    return f"{value:+#.3g}".rstrip(".")


def format_percentile(place: LayerPlace | None) -> str:
    """Return the share of the layer's other neurons that have a smaller number."""
    return MISSING if place is None else f"{place.percentile:.1%}"
