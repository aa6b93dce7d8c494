"""The panel of a neuron by frequent token: it fits, says where, and nothing in it acts."""

from dataclasses import replace

import pytest
from rich.cells import cell_len

from neurondb.reading.neuron import NeuronPage
from neurondb.reading.token_stats import TokenStatistic, TokenStatistics
from tests.neurondb.terminal.neuron_pages import (
    ACTIVATIONS,
    HOSTILE,
    PAGE,
    PAGE_WIDTHS,
    shown_page,
)


def page_with(*tokens: str | None) -> NeuronPage:
    found = tuple(
        TokenStatistic(rank, 1000 + rank, text, -0.5 + rank / 8, 0.25, 77)
        for rank, text in enumerate(tokens)
    )
    lists = (
        TokenStatistics("current", found),
        TokenStatistics("previous", found[:1]),
        TokenStatistics("next", ()),
    )
    return replace(PAGE, activations=ACTIVATIONS, token_stats=lists)


def panel(page: NeuronPage, width: int) -> list[str]:
    lines = shown_page(page, width).splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("by frequent token"))
    return lines[first : lines.index("", first)]


def test_each_list_has_its_tokens_mean_and_share() -> None:
    numbers = ("mean", "fires")
    heading, columns, first, second, note = panel(page_with(" dog", None), 100)
    assert "largest |mean hook_post|" in heading
    assert columns.split() == ["at", *numbers, "after", *numbers, "before", *numbers]
    assert first.split() == ["␣dog", "-0.500", "25.00%", "␣dog", "-0.500", "25.00%"]
    assert second.split() == ["#1001", "-0.375", "25.00%"]
    assert "0.250 over all positions" in note
    assert "x_gate > 0" in note


def test_an_ungated_neuron_fires_where_it_writes() -> None:
    page = page_with(" dog")
    page = replace(page, identity=replace(page.identity, gated=False))
    assert "hook_post > 0" in panel(page, 100)[-1]


@pytest.mark.parametrize("width", PAGE_WIDTHS)
@pytest.mark.parametrize("token", [" dog", "漢" * 30, *HOSTILE])
def test_it_fits_and_nothing_in_it_acts(token: str, width: int) -> None:
    lines = panel(page_with(token, token), width)
    assert all(cell_len(line) <= width for line in lines)
    assert not set("\x1b\u202e\r\x9b\x07") & set("".join(lines))
    names = ("at", "after", "before")
    assert [name for name in " ".join(lines).split() if name in names] == list(names)


def test_without_statistics_there_is_no_panel() -> None:
    assert "by frequent token" not in shown_page(PAGE, 100)
