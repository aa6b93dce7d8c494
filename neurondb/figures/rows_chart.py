"""Rows of any question as a chart: one column's values counted, or two against each other."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import altair as alt

from neurondb.errors import UsageError
from neurondb.figures.chart_parts import make_data
from neurondb.figures.palette import ACCENT, CLASS_COLOURS
from neurondb.formatting.cells import export_value, format_cell
from neurondb.name_matching import quote_word, suggest_names

_SHOWN_VALUES: Final = 40
"""Bars of a column of words: the most frequent ones."""


def draw_rows(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    x: str,
    y: str | None = None,
    color: str | None = None,
) -> alt.TopLevelMixin:
    """Return rows as an Altair chart: points of x and y, or how many rows have each value of x.

    Rows where one of these columns is NULL, or not finite, are left out. Pointing at a
    point shows all of its row.

    Raises:
        UsageError: when the rows have no such column.
    """
    wanted = [name for name in (x, y, color) if name is not None]
    for name in wanted:
        _require_column(columns, name)
    places = [columns.index(name) for name in wanted]
    exported = (tuple(map(export_value, row)) for row in rows)
    kept = [row for row in exported if all(_is_drawable(row[place]) for place in places)]
    numeric = {
        name: all(isinstance(row[place], int | float) for row in kept)
        for name, place in zip(wanted, places, strict=True)
    }
    # Names of columns such as `ablated[gate-_post+].loss` are paths to Vega: fields are numbers.
    fields = {name: f"c{place}" for place, name in enumerate(columns)}
    hue = alt.Undefined if color is None else _make_colour(color, fields[color], numeric[color])
    if y is None and not numeric[x]:
        return _count_words(kept, x, columns.index(x), hue)
    base = alt.Chart(make_data([_make_datum(row, places) for row in kept]))
    if y is None:
        return _count_numbers(base, x, fields[x], hue)
    told = [alt.Tooltip(field, type="nominal", title=f"{name} ") for name, field in fields.items()]
    mark = base.mark_circle(opacity=0.7, color=ACCENT if color is None else alt.Undefined)
    chart: alt.Chart = mark.encode(
        x=_make_axis(alt.X, x, fields[x], numeric[x]),
        y=_make_axis(alt.Y, y, fields[y], numeric[y]),
        color=hue,
        tooltip=told,
    )
    return chart


def _make_axis(channel: Any, name: str, field: str, numeric: bool) -> Any:
    if not numeric:
        return channel(field, type="nominal", title=name)
    return channel(field, type="quantitative", title=name, scale=alt.Scale(zero=False))


def _require_column(columns: Sequence[str], name: str) -> None:
    if name not in columns:
        hint = suggest_names(name, columns)
        raise UsageError(f"these rows have no column {quote_word(name)}{hint}")


def _is_drawable(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _make_datum(row: Sequence[Any], places: Sequence[int]) -> dict[str, Any]:
    """Return a row with the numbers drawn as they are, and the others as they are printed."""
    return {
        f"c{place}": value
        if place in places and isinstance(value, int | float)
        else format_cell(value)
        for place, value in enumerate(row)
    }


def _count_numbers(base: alt.Chart, x: str, field: str, hue: Any) -> alt.Chart:
    axis = alt.X(field, type="quantitative", bin=alt.Bin(maxbins=40), title=x)
    told = alt.Tooltip("count()", title="rows", format=",")
    bars: alt.Chart = base.mark_bar(color=ACCENT).encode(
        x=axis, y=alt.Y("count()", title="rows"), color=hue, tooltip=[told]
    )
    return bars


def _count_words(rows: Sequence[Sequence[Any]], x: str, place: int, hue: Any) -> alt.Chart:
    counts = Counter(format_cell(row[place]) for row in rows)
    most = {word for word, _ in counts.most_common(_SHOWN_VALUES)}
    shown = [datum for row in rows if (datum := _make_datum(row, ()))[f"c{place}"] in most]
    title = x if len(most) == len(counts) else f"{x}, {len(most)} of {len(counts):,} values"
    told = alt.Tooltip("count()", title="rows", format=",")
    bars: alt.Chart = (
        alt.Chart(make_data(shown))
        .mark_bar(color=ACCENT)
        .encode(
            y=alt.Y(f"c{place}", type="nominal", sort="-x", title=title),
            x=alt.X("count()", title="rows"),
            color=hue,
            tooltip=[alt.Tooltip(f"c{place}", type="nominal", title=x), told],
        )
    )
    return bars


def _make_colour(name: str, field: str, numeric: bool) -> alt.Color:
    if name == "class":
        classes = list(CLASS_COLOURS)
        scale = alt.Scale(domain=classes, range=[CLASS_COLOURS[one] for one in classes])
        return alt.Color(field, type="nominal", title=name, scale=scale)
    return alt.Color(field, type="quantitative" if numeric else "nominal", title=name)
