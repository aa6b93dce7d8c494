"""The panel of what explains a neuron, and the page of a run: they fit, and say the stored rows."""

import io

import pytest
from rich.cells import cell_len
from sqlalchemy import Engine

from neurondb.reading.families import read_family_page
from neurondb.reading.neuron import read_neuron_page
from neurondb.terminal.console import open_console
from neurondb.terminal.families import draw_family_page
from neurondb.terminal.neuron import draw_neuron_page
from tests.support.sample_facts import Sample
from tests.support.sample_families import FAMILY_RUN, N_TOKENS, TESTS, WITHOUT


def panel(engine: Engine, neuron: int, width: int) -> list[str]:
    """The lines of the panel of a neuron of layer 0 of the gated sample."""
    stream = io.StringIO()
    with engine.connect() as connection:
        page = read_neuron_page(connection, "sample-llama", 0, neuron)
    console = open_console(stream, width=width)
    console.print(draw_neuron_page(page, width, marks=True), crop=False)
    lines = stream.getvalue().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("explained by"))
    return [line.rstrip() for line in lines[first : lines.index("", first)]]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_best_tests_are_shown_at_every_width(
    width: int, sample: Sample, sample_engine: Engine
) -> None:
    lines = panel(sample_engine, 5, width)
    assert all(cell_len(line) <= width for line in lines)
    own = [f for f in sample.families if f["model"] == "sample-llama" and f["neuron_id"] == 5]
    overall = [f for f in own if f["sign_case"] == "all"]
    best = [f for f in own if f["sign_case"] != "all" and f["rank"] == 0]
    assert len(lines) >= 2 + len(overall) + len(best)
    for line, row in zip(lines[2:], [*overall, *best], strict=False):
        tokens, family, *_ = line.split()
        assert (tokens, family) == (row["sign_case"], row["family"])
        assert f"{row['score']:.3f}" in line


def test_a_neuron_that_nothing_explains_says_so(sample_engine: Engine) -> None:
    assert "no test explains anything of what it does" in panel(sample_engine, WITHOUT, 80)


@pytest.mark.parametrize("width", [60, 100])
def test_the_page_of_a_run_has_every_family_with_its_neurons(
    width: int, sample: Sample, sample_engine: Engine
) -> None:
    with sample_engine.connect() as connection:
        page = read_family_page(connection, FAMILY_RUN + 1, 2)
    first = [
        f
        for f in sample.families
        if (f["model"], f["sign_case"], f["rank"]) == ("sample-llama", "all", 0)
    ]
    for one in page.families:
        of_family = [f for f in first if f["family"] == one.family]
        assert one.n == sum(f["score"] > 0.1 for f in of_family)
        scores = sorted((f["score"] for f in of_family), reverse=True)
        assert [n.score for n in one.best] == scores[:2]
    stream = io.StringIO()
    open_console(stream, width=width).print(draw_family_page(page, width), crop=False)
    text = stream.getvalue()
    assert all(cell_len(line) <= width for line in text.splitlines())
    assert f"{len(TESTS)} tests" in text
    assert f"{N_TOKENS} tokens" in text
