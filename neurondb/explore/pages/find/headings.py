"""Headings of the table of neurons: a click orders by the column, the next click reverses it."""

from dataclasses import dataclass
from typing import Final

from neurondb.explore.urls import Urls

_COSINES: Final = {
    "gate_in": "cos(gate, in)",
    "gate_out": "cos(gate, out)",
    "in_out": "cos(in, out)",
}
_COLUMNS: Final = {
    "name": "neuron",
    "description": "what stands out",
    "class": "class",
    **_COSINES,
    "freq": "fires",
    "out_kurtosis": "kurtosis",
    "role": "role",
    "top_out_token": "promotes",
}
_TITLES: Final = {
    "freq": "share of tokens with x_gate > 0",
    "out_kurtosis": "of cos(U, out) over the vocabulary; a Gaussian has 3",
    "top_out_token": "the token that out promotes most",
}
TEXT_COLUMNS: Final = ("name", "description", "class", "role", "top_out_token")
_UNORDERED: Final = ("description",)
"""Columns whose order would say nothing."""


@dataclass(frozen=True)
class Heading:
    """A column of the table.

    Attributes:
        sort: `ascending` or `descending` when the table is ordered by it.
        address: address of the table in the order of this column, or in the reverse order.
    """

    key: str
    label: str
    title: str
    sort: str | None = None
    address: str | None = None


DEFAULT_HEADINGS: Final = tuple(
    Heading(key, label, _TITLES.get(key, "")) for key, label in _COLUMNS.items()
)
"""The columns of a table whose order cannot be changed."""


def list_headings(expression: str, order: str, links: Urls) -> tuple[Heading, ...]:
    """Return the columns of the table of neurons."""
    return tuple(
        Heading(
            key,
            label,
            _TITLES.get(key, ""),
            _sort_direction(key, order),
            None
            if key in _UNORDERED
            else links.find(expression, order=_choose_next_order(key, order)),
        )
        for key, label in _COLUMNS.items()
    )


def _sort_direction(key: str, order: str) -> str | None:
    if order.strip("-|") != key:
        return None
    return "descending" if order.startswith("-") else "ascending"


def _choose_next_order(key: str, order: str) -> str:
    """Return the order that a click leads to: numbers start with the largest."""
    orders = [key, f"-{key}"] if key in TEXT_COLUMNS else [f"-{key}", key]
    if key in _COSINES:
        orders.append(f"-|{key}|")
    return orders[(orders.index(order) + 1) % len(orders)] if order in orders else orders[0]
