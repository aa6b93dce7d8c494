"""Stored matches of neurons as pages and the find language see them, against the sample's rows."""

from io import StringIO

import numpy as np
import pytest
from sqlalchemy import Engine

from neurondb.errors import UnknownNameError
from neurondb.find import count, find
from neurondb.reading.models import find_model
from neurondb.reading.neuron import read_neuron_page
from neurondb.reading.universality import (
    find_shown_universality,
    list_universality_runs,
    read_neuron_universality,
    read_universality_page,
)
from neurondb.terminal.console import open_console
from neurondb.terminal.neuron_universality import draw_universality
from neurondb.terminal.universality import draw_universality_page, make_universality_rows
from tests.support.sample_facts import LAYERS, WIDTH, Row, Sample
from tests.support.sample_universality import CONSTANT, GPT_RUN, NEW_RUN, OLD_RUN

LLAMA, GPT = "sample-llama", "sample-gpt"


def match_of(sample: Sample, neuron_id: int) -> Row:
    return next(m for m in sample.matches if m["neuron_id"] == neuron_id)


def printed(body: object) -> str:
    stream = StringIO()
    open_console(stream, 100).print(body, crop=False)
    return stream.getvalue()


def test_a_page_has_every_neuron_of_the_run(sample: Sample, sample_engine: Engine) -> None:
    with sample_engine.connect() as connection:
        assert find_shown_universality(connection, find_model(connection, LLAMA)) == NEW_RUN
        runs = list_universality_runs(connection, find_model(connection, LLAMA))
        page = read_universality_page(connection, NEW_RUN)
    assert [(run.run_id, run.layer_window) for run in runs] == [(NEW_RUN, None), (OLD_RUN, 1)]
    assert page.correlation.shape == (1, LAYERS, WIDTH)
    own = [n["universal"] for n in sample.neurons if n["model"] == LLAMA]
    expected = np.array([np.nan if excess is None else excess for excess in own])
    np.testing.assert_allclose(page.excess.ravel(), expected)
    assert np.isnan(page.excess.ravel()[CONSTANT])
    neuron = sample.named(LLAMA, "2.5")
    best = match_of(sample, neuron["neuron_id"])["best_id"]
    name = next(n["name"] for n in sample.neurons if n["neuron_id"] == best)
    assert page.name_best(0, 2, 5) == name


def test_a_run_that_is_not_there_is_refused(sample_engine: Engine) -> None:
    with (
        sample_engine.connect() as connection,
        pytest.raises(UnknownNameError, match=r"no universality run 5 .*universality-runs"),
    ):
        read_universality_page(connection, 5)


def test_a_neuron_has_its_matches_and_those_that_it_is_the_match_of(
    sample: Sample, sample_engine: Engine
) -> None:
    neuron = sample.named(GPT, "1.7")
    with sample_engine.connect() as connection:
        model = find_model(connection, GPT)
        found = read_neuron_universality(connection, model, neuron["neuron_id"])
        page = read_neuron_page(connection, GPT, 1, 7)
    assert found is not None
    assert page.universality == found
    (match,) = found.matches
    expected = match_of(sample, neuron["neuron_id"])
    assert (match.run_id, match.other, match.aligned_by) == (GPT_RUN, LLAMA, "characters")
    assert (match.correlation, match.baseline) == (expected["correlation"], expected["baseline"])
    assert found.excess == pytest.approx(neuron["universal"])
    with sample_engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT COUNT(DISTINCT neuron_id) FROM universality WHERE best_id = ?",
            (neuron["neuron_id"],),
        )
        assert found.n_reverse == rows.scalar()
    drawn = printed(draw_universality(found, 100))
    assert f"excess {found.excess:+.3f}" in drawn
    assert "aligned by characters" in drawn


def test_a_constant_neuron_says_so(sample: Sample, sample_engine: Engine) -> None:
    with sample_engine.connect() as connection:
        page = read_neuron_page(connection, LLAMA, 0, CONSTANT)
    assert page.universality is not None
    assert page.universality.excess is None
    assert "constant on these texts" in printed(draw_universality(page.universality, 100))


def test_find_knows_the_excess(sample: Sample, sample_engine: Engine) -> None:
    expected = [n for n in sample.neurons if n["model"] == LLAMA and (n["universal"] or 0) > 0.5]
    rows = find(
        sample_engine,
        "universal>0.5 model=sample-llama",
        columns=["neuron_id", "universal"],
        order=["-universal"],
    ).rows
    found = {row[0]: row[1] for row in rows}
    assert found == {n["neuron_id"]: pytest.approx(n["universal"]) for n in expected}
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert count(sample_engine, "universal=null model=sample-llama") == 1


def test_the_command_shows_layers_and_the_most_universal_neurons(
    sample: Sample, sample_engine: Engine
) -> None:
    with sample_engine.connect() as connection:
        page = read_universality_page(connection, NEW_RUN)
    drawn = printed(draw_universality_page(page, 100, 3))
    known = [n for n in sample.neurons if n["model"] == LLAMA and n["universal"] is not None]
    n_universal = sum(n["universal"] > 0.5 for n in known)
    assert f"{n_universal:,} of {len(known)}" in drawn
    assert "all layers with all" in drawn
    best = max(known, key=lambda n: n["universal"])
    rows = list(make_universality_rows(page, 3).rows)
    assert len(rows) == 3
    assert rows[0][:2] == (LLAMA, best["name"])
    assert rows[0][4] == pytest.approx(best["universal"])
    assert len(list(make_universality_rows(page, 0).rows)) == len(known)
