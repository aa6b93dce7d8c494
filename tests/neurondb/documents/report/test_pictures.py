"""Figures fit into a page: each is lines or pixels, whichever are fewer bytes."""

from typing import Any

import pytest

from neurondb import figures
from neurondb.documents.report import pictures
from neurondb.documents.report.pictures import BASE64, LARGE_SVG, Picture, fit_pictures
from neurondb.documents.report.plan import COMPARED_PLAN, PLAN, PlannedFigure, draw_once

PLANNED = PlannedFigure("s", "x", draw_once())


def make_picture(n_bytes: int) -> Picture:
    return Picture(PLANNED, "x", {"description": "x"}, "", (), b" " * n_bytes)


@pytest.fixture
def pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures as pixels are 240 kB at scale 1, and so with its square."""

    def render(_spec: dict[str, Any], form: str, scale: float) -> bytes:
        assert form == "png"
        return b" " * int(240_000 * scale**2)

    monkeypatch.setattr(figures, "render_spec", render)


@pytest.mark.usefixtures("pixels")
def test_small_figures_stay_lines_and_large_ones_are_what_is_smaller() -> None:
    small, larger, huge = map(make_picture, (LARGE_SVG, 500_000, 5_000_000))
    fit_pictures([small, larger, huge], budget=10_000_000)
    assert [p.form for p in (small, larger, huge)] == ["svg", "svg", "png"]
    assert huge.n_bytes == int(240_000 * 4 * BASE64)


@pytest.mark.usefixtures("pixels")
@pytest.mark.parametrize("budget", [2_400_000, 1_200_000])
def test_all_together_fit(budget: int) -> None:
    drawn = [make_picture(n) for n in (100_000, 5_000_000, 5_000_000, 5_000_000, 700_000)]
    fit_pictures(drawn, budget)
    assert sum(picture.n_bytes for picture in drawn) <= budget
    assert drawn[0].form == "svg"


@pytest.mark.usefixtures("pixels")
def test_what_cannot_fit_is_as_coarse_as_it_gets() -> None:
    drawn = [make_picture(5_000_000)]
    fit_pictures(drawn, budget=10)
    assert drawn[0].scale == pictures.SCALES[-1]


def test_every_figure_of_the_registry_has_its_place() -> None:
    """But those of one neuron or one token, which a report has no reason to choose."""
    planned = {figure.name for figure in (*PLAN, *COMPARED_PLAN)}
    single = {
        name
        for name, figure in figures.FIGURES.items()
        if {"neuron", "token"} & {p.name for p in figure.parameters if p.required}
    }
    assert figures.FIGURES.keys() - planned == single
