"""Which of a neuron's heads are beyond chance: random directions, and what the page shows."""

import io

import numpy as np
import pytest
from sqlalchemy import func, select

from neurondb.reading.heads import KnownHead, NeuronHead, find_chance_bound, list_neuron_heads
from neurondb.reading.models import open_readonly
from neurondb.schema import tables
from neurondb.terminal.console import open_console
from neurondb.terminal.neuron_heads import draw_neuron_heads
from tests.support.sample_facts import Sample

D_MODEL, N_HEADS = 400, 60


def test_one_random_direction_in_twenty_has_a_head_beyond_the_bound() -> None:
    draw = np.random.default_rng(0)
    heads = draw.normal(size=(N_HEADS, D_MODEL))
    heads /= np.linalg.norm(heads, axis=1, keepdims=True)
    directions = draw.normal(size=(8_000, D_MODEL))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    strongest = np.abs(directions @ heads.T * np.sqrt(D_MODEL)).max(axis=1)
    share = (strongest > find_chance_bound(N_HEADS)).mean()
    assert share == pytest.approx(0.05, abs=0.01)


def test_the_bound_of_one_head_is_the_gaussians() -> None:
    assert find_chance_bound(1) == pytest.approx(1.959964, abs=1e-6)
    assert find_chance_bound(1, 0.001) == pytest.approx(3.290527, abs=1e-6)


def test_a_neurons_bound_is_of_the_heads_behind_it(sample: Sample) -> None:
    n, h, a = tables.neurons.c, tables.neuron_head_rows.c, tables.attention_heads.c
    r = tables.head_runs.c
    with open_readonly(sample.url) as connection:
        some = select(n.neuron_id, n.layer, n.model_id).distinct()
        some = some.join_from(tables.neurons, tables.neuron_head_rows, n.neuron_id == h.neuron_id)
        for neuron_id, layer, model_id in connection.execute(some.limit(9)).all():
            later = select(func.count()).select_from(tables.attention_heads)
            later = later.join(tables.head_runs, r.run_id == a.run_id)
            n_heads = connection.scalar(later.where(r.model_id == model_id, a.layer > layer))
            found = list_neuron_heads(connection, neuron_id)
            assert {one.chance for one in found} == {find_chance_bound(n_heads or 0)}


def draw(standardised: float) -> str:
    pair = NeuronHead(1, 0, 1, "0.1", 2, 3, standardised / 9, standardised, 0, None)
    stream = io.StringIO()
    open_console(stream, 100).print(draw_neuron_heads([KnownHead(pair, None, 3.7)], 100))
    return stream.getvalue()


def test_a_trivial_head_is_not_shown() -> None:
    assert draw(-0.1).startswith("none beyond chance")
    assert "2.3" not in draw(-0.1)
    assert "2.3" in draw(-3.8)
    assert "±3.7σ" in draw(-3.8)
