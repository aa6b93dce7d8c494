"""Gate frequencies, correlations and medians of simulated models of a published model's size."""

from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection

from neurondb.published.class_counts import Classified
from neurondb.published.comparison import Comparison
from neurondb.published.firing import (
    BASELINE_GROUP,
    FREQUENCY_GROUP,
    Firing,
    compare_correlations,
    compare_frequencies,
    compare_medians,
)
from neurondb.published.tolerances import allow_for_texts
from neurondb.reading.models import find_model
from neurondb.taxonomy import CLASSES
from tests.support.published_models import (
    COUNTS,
    FIGURES,
    describe,
    make_class_ids,
    make_cosines,
    put_neurons,
)

LLAMA, HUB_ID = "llama-3.2-3b", "meta-llama/Llama-3.2-3B"
PUBLISHED = FIGURES["gate_frequencies"]["models"][HUB_ID]
DOLMA, OTHER = ("dolma-small", 20_000_000), ("sampler", 40_000)


@pytest.fixture(scope="module")
def class_ids() -> np.ndarray[Any, Any]:
    """Of every neuron of Llama-3.2-3B, as its published table counts them."""
    return make_class_ids(COUNTS["gated"][HUB_ID], gated=True)


def solve_shares(class_ids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return frequencies of all neurons whose means by class and baseline are those published.

    Each class of each layer has one frequency: 28 × 11 unknowns, of which the published 22 numbers
    are linear functions. Of all solutions that nearest to the class's own mean is taken.
    """
    counts = np.array(COUNTS["gated"][HUB_ID], dtype=float)
    n_layers, n_classes = counts.shape
    totals = counts.sum(axis=1)
    rows, wanted = [], []
    for number, entry in enumerate(CLASSES):
        weights = counts[:, number] / counts[:, number].sum()
        inside = np.zeros((n_layers, n_classes))
        inside[:, number] = weights
        outside = counts * (weights / (totals - counts[:, number]))[:, None]
        outside[:, number] = 0
        rows += [inside.ravel(), outside.ravel()]
        wanted += PUBLISHED[entry.name]
    start = np.tile([PUBLISHED[entry.name][0] for entry in CLASSES], n_layers)
    system = np.array(rows)
    step, *_ = np.linalg.lstsq(system, np.array(wanted) - system @ start, rcond=None)
    shares = (start + step).reshape(n_layers, n_classes)
    return np.asarray(np.take_along_axis(shares, class_ids.astype(int), axis=1))


def classified(class_ids: np.ndarray[Any, Any]) -> Classified:
    possible = class_ids == np.arange(len(CLASSES))[:, None, None]
    return Classified(class_ids, possible, np.zeros(class_ids.shape, dtype=bool))


def frequencies(
    class_ids: np.ndarray[Any, Any], shares: np.ndarray[Any, Any], texts: tuple[str, int]
) -> list[Comparison]:
    firing = Firing(shares, allow_for_texts(*texts))
    return list(compare_frequencies(LLAMA, classified(class_ids), firing))


@pytest.fixture(scope="module")
def shares(class_ids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return solve_shares(class_ids)


def test_published_frequencies_agree_to_the_last_digit(
    class_ids: np.ndarray[Any, Any], shares: np.ndarray[Any, Any]
) -> None:
    comparisons = frequencies(class_ids, shares, DOLMA)
    assert [(c.group, c.item, c.published) for c in comparisons] == [
        (group, entry.name, PUBLISHED[entry.name][number])
        for entry in CLASSES
        for number, group in enumerate((FREQUENCY_GROUP, BASELINE_GROUP))
    ]
    assert max(abs(c.difference or 0) for c in comparisons) < 1e-9
    assert {c.verdict for c in comparisons} == {"agrees"}


@pytest.mark.parametrize(("texts", "off", "wrong"), [(DOLMA, 0.009, 0.012), (OTHER, 0.045, 0.055)])
def test_texts_may_move_a_class_and_no_more(
    class_ids: np.ndarray[Any, Any],
    shares: np.ndarray[Any, Any],
    texts: tuple[str, int],
    off: float,
    wrong: float,
) -> None:
    weakening = class_ids == 7
    for moved, verdict in ((off, "agrees"), (-off, "agrees"), (wrong, "differs")):
        comparisons = frequencies(class_ids, shares + moved * weakening, texts)
        (line,) = (c for c in comparisons if (c.group, c.item) == (FREQUENCY_GROUP, "weakening"))
        assert line.difference == pytest.approx(moved, abs=1e-9)
        assert line.verdict == verdict


def test_a_baseline_is_one_draw_of_as_many_neurons(
    class_ids: np.ndarray[Any, Any], shares: np.ndarray[Any, Any]
) -> None:
    """The mean of 24 random neurons lies std/√24 from its expectation, that of 49,297 near it."""
    draw = np.random.default_rng(0)
    noisy = shares + draw.normal(0, 0.2, shares.shape)
    lines = {c.item: c for c in frequencies(class_ids, noisy, DOLMA) if c.group == BASELINE_GROUP}
    few, many = lines["strengthening"], lines["conditional strengthening"]
    n = int((class_ids == 0).sum())
    assert n == 24
    assert few.high is not None
    assert many.high is not None
    assert few.high - few.published == pytest.approx(0.0105 + 3 * 0.2 / n**0.5, rel=0.3)
    assert many.high - many.published < 0.016


def test_an_empty_class_and_missing_activations_are_not_in_the_database(
    class_ids: np.ndarray[Any, Any], shares: np.ndarray[Any, Any]
) -> None:
    without = np.where(class_ids == 0, 6, class_ids)
    lines = {(c.group, c.item): c for c in frequencies(without, shares, DOLMA)}
    assert lines[FREQUENCY_GROUP, "strengthening"].verdict == "not in this database"
    missing = list(compare_frequencies(LLAMA, classified(class_ids), None))
    assert {c.verdict for c in missing} == {"not in this database"}
    assert len(missing) == 22
    assert list(compare_frequencies("pythia-14m", None, None)) == []


def test_the_published_tables_are_used_where_the_paper_disagrees() -> None:
    """Table 5 of the paper has .691 of weakening neurons, made with another atypical rule."""
    olmo = FIGURES["gate_frequencies"]["models"]["allenai/OLMo-7B-0424-hf"]
    assert olmo["weakening"] == [0.72, 0.375]
    totals = np.sum(COUNTS["gated"]["allenai/OLMo-7B-0424-hf"], axis=0)
    assert (totals[0], totals[7]) == (47, 526), "the paper's text: 24 and 243"


@pytest.fixture
def olmo_like(on_pythia: Connection) -> Connection:
    """A database with a model of 32 layers of 50 neurons, which goes by OLMo-7B's name below."""
    cosines = make_cosines([[5, 0, 15, 0, 0, 0, 20, 5, 0, 5, 0]] * 32, gated=True)
    cosines += np.random.default_rng(0).uniform(-0.05, 0.05, cosines.shape)
    model = describe(on_pythia, "small", (32, 50), first_neuron_id=10_000)
    put_neurons(on_pythia, model, cosines)
    return on_pythia


@pytest.mark.parametrize(
    ("r", "last", "verdicts"),
    [
        (-0.8, (-0.29, 0.29), ["agrees", "agrees", "agrees"]),
        (-0.69, (-0.25, 0.32), ["agrees", "agrees", "agrees"]),
        (-0.6, (-0.8, 0.29), ["differs", "differs", "agrees"]),
    ],
)
def test_correlations(
    olmo_like: Connection, r: float, last: tuple[float, float], verdicts: list[str]
) -> None:
    model = find_model(olmo_like, "small")
    cosines = read_in_out(olmo_like)
    shares = np.array(
        [correlate_with(x, r) for x in cosines[:-2]]
        + [correlate_with(x, r) for x, r in zip(cosines[-2:], last, strict=True)]
    )
    firing = Firing(shares, allow_for_texts(*DOLMA))
    lines = list(compare_correlations(olmo_like, "olmo-7b-0424", model, firing))
    assert [c.published for c in lines] == [-0.71, -0.29, 0.29]
    assert [c.ours for c in lines] == pytest.approx([r, *last])
    assert [c.verdict for c in lines] == verdicts


def read_in_out(connection: Connection) -> np.ndarray[Any, Any]:
    sql = "SELECT in_out FROM cosines WHERE neuron_id >= 10000 ORDER BY neuron_id"
    return np.array(connection.exec_driver_sql(sql).fetchall()).reshape(32, 50)


def correlate_with(x: np.ndarray[Any, Any], r: float) -> np.ndarray[Any, Any]:
    """Return values whose correlation with x is r exactly."""
    x = (x - x.mean()) / x.std()
    other = np.random.default_rng(1).standard_normal(len(x))
    other -= other.mean() + (other @ x) / len(x) * x
    return np.asarray(0.5 + 0.1 * (r * x + np.sqrt(1 - r**2) * other / other.std()))


def test_medians(olmo_like: Connection) -> None:
    model = find_model(olmo_like, "small")
    lines = list(compare_medians(olmo_like, "olmo-7b-0424", model))
    in_out = np.median(read_in_out(olmo_like), axis=1)
    assert [c.ours for c in lines] == pytest.approx([in_out[:16].mean(), in_out[-3:].mean()])
    assert [c.verdict for c in lines] == ["agrees", "agrees"]
    olmo_like.exec_driver_sql("UPDATE cosines SET in_out = -in_out")
    assert {c.verdict for c in compare_medians(olmo_like, "olmo-7b-0424", model)} == {"differs"}
    assert list(compare_medians(olmo_like, "llama-3.2-1b", model)) == []
