"""Examples as a page shows them: token by token, coloured, equal windows folded."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from neurondb.formatting.numbers import format_compact
from neurondb.formatting.text import ELLIPSIS, make_visible
from neurondb.reading.examples import Example
from neurondb.reading.traces import Trace

BEFORE: Final = 16
AFTER: Final = 8
"""Windows with the same tokens, so many before the peak and so many after it, are folded."""
RADIUS: Final = 20
"""How many tokens on either side of the peak can be unfolded."""
FIRST_CHARACTERS: Final = 60
"""How many characters of a token are shown at most."""
SOURCES: Final = {
    "hook_post": "hook_post",
    "hook_pre_linear": "hook_pre_linear",
    "hook_pre": "hook_pre",
    "swish": "hook_pre",
}
"""Quantity of a list → the one of a trace that colours it; swish is a function of hook_pre."""


class Piece(NamedTuple):
    """A token as it is shown.

    Attributes:
        mark: peak, next or nothing.
        level: value ÷ the largest of the list, −1 to 1; None where no value is stored.
        values: its values in words; None where no value is stored.
    """

    text: str
    mark: str
    level: float | None
    values: str | None

    @property
    def sign(self) -> str:
        """The CSS class of the colour: p above zero, n below, none at zero."""
        if not self.level:
            return ""
        return "p" if self.level > 0 else "n"

    @property
    def percent(self) -> int:
        """The strength of the colour, in per cent."""
        return round(100 * min(abs(self.level or 0), 1))


@dataclass(frozen=True)
class Twin:
    """Another example with the same window."""

    rank: int
    text_id: int
    ordinal: int | None
    position: int | None
    value: float


@dataclass(frozen=True)
class Window:
    """An example and the tokens around its peak.

    Attributes:
        value: signed value of the list's quantity at the peak, canonical sign.
        first: position of the first of `tokens`; None where the text's tokens are not stored, and
            `start` is the text's start instead.
        trace: values token by token; None where none is stored.
        twins: later examples whose window is the same.
    """

    rank: int
    text_id: int
    ordinal: int | None
    position: int | None
    value: float
    first: int | None
    tokens: tuple[str, ...]
    starts: bool
    ends: bool
    start: str | None
    trace: Trace | None
    twins: tuple[Twin, ...] = ()

    @property
    def peak(self) -> int:
        """The position of the peak; 0 where it is not known, and there are no tokens either."""
        return self.position or 0


@dataclass(frozen=True)
class WindowList:
    """A list of examples.

    Attributes:
        title: the sign case, or the kind of control.
        colour: quantity that colours the tokens.
        scale: the largest of its values here; None where no trace is stored.
        stored: examples of the list, twins included.
        bos_only: whether every peak stands at position 0 (METHODS §5).
        brief: whether tokens say hook_post alone, as in lists that few unfold but all load.
    """

    title: str
    quantity: str
    colour: str
    scale: float | None
    stored: int
    windows: tuple[Window, ...]
    bos_only: bool = False
    brief: bool = False

    def before(self, window: Window) -> list[Piece]:
        """Return the tokens before a peak."""
        return [piece for i, piece in self._pieces(window) if i < window.peak]

    def after(self, window: Window) -> list[Piece]:
        """Return the peak and the tokens after it."""
        return [piece for i, piece in self._pieces(window) if i >= window.peak]

    def _pieces(self, window: Window) -> Iterator[tuple[int, Piece]]:
        """Yield tokens with their positions; those without values run together."""
        run, at = "", 0
        for position, text in enumerate(window.tokens, window.first or 0):
            mark = {window.peak: "peak", window.peak + 1: "next"}.get(position, "")
            values = self._say_values(window.trace, position)
            visible = _shorten(text)
            if not mark and values is None:
                run, at = run + visible, position
                continue
            if run:
                yield at, Piece(run, "", None, None)
                run = ""
            yield position, self._piece(visible, mark, window, position)
        if run:
            yield at, Piece(run, "", None, None)

    def _piece(self, visible: str, mark: str, window: Window, position: int) -> Piece:
        value = _get_value(window.trace, self.colour, position)
        if window.trace is None and mark == "peak" and self.colour == self.quantity:
            value = window.value
        if value is None or not math.isfinite(value):
            return Piece(visible, mark, None, self._say_values(window.trace, position))
        scale = self.scale or abs(value)
        share = value / scale if scale else 0.0
        return Piece(visible, mark, share, self._say_values(window.trace, position))

    def _say_values(self, trace: Trace | None, position: int) -> str | None:
        if self.brief:
            value = _get_value(trace, "hook_post", position)
            return None if value is None else f"post {format_compact(value)}"
        return _say_values(trace, position)


def build_window_list(
    title: str,
    quantity: str,
    examples: Sequence[Example],
    *,
    bos_only: bool = False,
    brief: bool = False,
) -> WindowList:
    """Return a list of examples as a page shows them."""
    colour = SOURCES[quantity]
    windows = [_make_window(example) for example in examples]
    return WindowList(
        title,
        quantity,
        colour,
        _find_scale(windows, colour),
        len(windows),
        tuple(_fold_equal(windows)),
        bos_only,
        brief,
    )


def add_traces(listed: WindowList, traces: Mapping[int, Trace]) -> WindowList:
    """Return a list with values token by token, by the rank of their window."""
    windows = tuple(
        replace(window, trace=traces.get(window.rank, window.trace)) for window in listed.windows
    )
    return replace(listed, windows=windows, scale=_find_scale(windows, listed.colour))


def share_scale(lists: Sequence[WindowList]) -> tuple[WindowList, ...]:
    """Return lists whose colours can be compared: all with the largest scale."""
    largest = max(
        (window_list.scale for window_list in lists if window_list.scale is not None), default=None
    )
    return tuple(replace(window_list, scale=largest) for window_list in lists)


def _make_window(example: Example) -> Window:
    excerpt = example.excerpt
    peakless = excerpt.peak is None
    return Window(
        example.rank,
        example.text_id,
        example.ordinal,
        example.position,
        example.value,
        None if peakless else excerpt.first,
        () if peakless else excerpt.tokens,
        excerpt.starts,
        excerpt.ends,
        excerpt.after if peakless else None,
        example.trace,
    )


def _find_scale(windows: Iterable[Window], colour: str) -> float | None:
    traces = (window.trace for window in windows if window.trace is not None)
    values = (value for trace in traces for value in _get_values(trace, colour))
    largest = max((abs(value) for value in values if math.isfinite(value)), default=None)
    return largest or None


def _get_values(trace: Trace, quantity: str) -> Sequence[float]:
    return {
        "hook_post": trace.hook_post,
        "hook_pre_linear": trace.hook_pre_linear or (),
        "hook_pre": trace.hook_pre,
    }[quantity]


def _get_value(trace: Trace | None, quantity: str, position: int) -> float | None:
    if trace is None:
        return None
    values, place = _get_values(trace, quantity), position - trace.start
    return values[place] if 0 <= place < len(values) else None


def _say_values(trace: Trace | None, position: int) -> str | None:
    """Say what gate, in and post are at a token."""
    if trace is None or not 0 <= position - trace.start < len(trace.hook_post):
        return None
    gated = trace.hook_pre_linear is not None
    names = {"gate": "hook_pre", "in": "hook_pre_linear", "post": "hook_post"}
    if not gated:
        names = {"in": "hook_pre", "post": "hook_post"}
    values = {name: _get_value(trace, quantity, position) for name, quantity in names.items()}
    return ", ".join(f"{name} {format_compact(value)}" for name, value in values.items())


def _fold_equal(windows: Iterable[Window]) -> Iterable[Window]:
    """Return the windows, each once: the first of equal ones has the others as its twins."""
    folded: dict[object, Window] = {}
    for window in windows:
        context = _list_tokens_around(window)
        first = folded.setdefault(context, window)
        if first is not window:
            twin = Twin(window.rank, window.text_id, window.ordinal, window.position, window.value)
            folded[context] = replace(first, twins=(*first.twins, twin))
    return folded.values()


def _list_tokens_around(window: Window) -> object:
    if window.first is None:
        return window.text_id
    peak = window.peak - window.first
    begin = max(0, peak - BEFORE)
    return (peak - begin, window.tokens[begin : peak + AFTER + 1])


def _shorten(text: str) -> str:
    visible = make_visible(text[:FIRST_CHARACTERS])
    return visible + ELLIPSIS if len(text) > FIRST_CHARACTERS else visible
