"""Class counts of simulated models: as published, within what rounding allows, and wrong."""

import numpy as np
import pytest
from sqlalchemy import Connection, Engine, update

from neurondb.published.class_counts import classify_model, compare_class_counts
from neurondb.published.comparison import Comparison
from neurondb.published.tolerances import allow_for_rounding
from neurondb.published.verification import verify_published
from neurondb.reading.models import find_model
from neurondb.schema import tables
from tests.support.published_models import COUNTS

PYTHIA = "pythia-14m"


def compare(connection: Connection, name: str) -> list[Comparison]:
    model = find_model(connection, name)
    return list(compare_class_counts(name, classify_model(connection, model), model))


def set_in_out(connection: Connection, neuron_id: int, value: float | None) -> None:
    c = tables.cosines
    connection.execute(update(c).where(c.c.neuron_id == neuron_id).values(in_out=value))


def differing(comparisons: list[Comparison]) -> list[tuple[str, int | None, float | None]]:
    return [(c.item, c.layer, c.difference) for c in comparisons if c.verdict == "differs"]


def test_an_ungated_model_as_published_agrees_everywhere(on_pythia: Connection) -> None:
    comparisons = compare(on_pythia, PYTHIA)
    counts = COUNTS["ungated"]["EleutherAI/pythia-14m"]
    by_layer = [c.published for c in comparisons if c.layer is not None]
    assert by_layer == [n for layer in counts for n in layer]
    assert [c.difference for c in comparisons] == [0] * len(comparisons)
    assert {c.verdict for c in comparisons} == {"agrees"}
    # No neuron is near τ: nothing else than the published number would do.
    assert all(c.low == c.high == c.published for c in comparisons)


def test_a_gated_model_as_published_agrees_everywhere(qwen: Engine) -> None:
    with qwen.connect() as connection:
        comparisons = compare(connection, "qwen2.5-0.5b")
    assert len(comparisons) == 11 + 1 + 24 * 11
    assert {(c.verdict, c.difference) for c in comparisons} == {("agrees", 0)}


@pytest.mark.parametrize("side", [-1, 1])
def test_a_neuron_at_the_threshold_may_be_on_either_side(on_pythia: Connection, side: int) -> None:
    """One that rounding may take across τ changes no verdict, one beyond that does."""
    step = allow_for_rounding(1024)
    # The last neuron of layer 1 is a weakening one, as classes go by their order.
    neuron_id = 2 * 512
    set_in_out(on_pythia, neuron_id, -0.5 - side * step * 0.99)
    comparisons = compare(on_pythia, PYTHIA)
    assert differing(comparisons) == []
    (line,) = (c for c in comparisons if (c.item, c.layer) == ("weakening", 1))
    published = COUNTS["ungated"]["EleutherAI/pythia-14m"][1][2]
    # As many or one fewer than published would be said to agree, or one more where ours is not.
    assert line.ours == (published if side > 0 else published - 1)
    assert line.low is not None
    assert line.high is not None
    assert (line.low, line.high) == (
        (published, published + 1) if side > 0 else (published - 1, published)
    )
    set_in_out(on_pythia, neuron_id, -0.5 + step * 1.01)
    assert differing(compare(on_pythia, PYTHIA)) == [
        ("orthogonal output", None, 1),
        ("weakening", None, -1),
        ("of 6", None, -1),
        ("orthogonal output", 1, 1),
        ("weakening", 1, -1),
    ]


def test_a_layer_that_differs_is_named(on_pythia: Connection) -> None:
    set_in_out(on_pythia, 1 + 3 * 512 + 511, 0.8)
    (line,) = (c for c in compare(on_pythia, PYTHIA) if c.item == "of 6")
    assert (line.ours, line.verdict, line.note) == (5, "differs", "differing: 3")


def test_a_zero_vector_counts_as_orthogonal_or_not(on_pythia: Connection) -> None:
    """The published code takes a cosine that is NaN for one between −τ and τ."""
    n_orthogonal = COUNTS["ungated"]["EleutherAI/pythia-14m"][0][1]
    first_orthogonal = 1 + COUNTS["ungated"]["EleutherAI/pythia-14m"][0][0]
    set_in_out(on_pythia, first_orthogonal, None)
    comparisons = compare(on_pythia, PYTHIA)
    (line,) = (c for c in comparisons if (c.item, c.layer) == ("orthogonal output", 0))
    assert line.ours == n_orthogonal - 1
    assert differing(comparisons) == []


def test_another_threshold_of_the_database_does_not_matter(on_pythia: Connection) -> None:
    m = tables.models
    on_pythia.execute(update(m).values(threshold=0.3))
    assert differing(compare(on_pythia, PYTHIA)) == []


def test_a_model_without_weights_says_so(on_pythia: Connection) -> None:
    on_pythia.execute(tables.cosines.delete())
    found = verify_published(on_pythia, PYTHIA)
    assert {c.verdict for c in found.comparisons} == {"not in this database"}
    assert not found.agrees


def test_rounding_moves_cosines_no_further_than_allowed() -> None:
    """Of 20,000 pairs near cos = .5, rounded to bfloat16's 8 bits, at most a few move further."""
    draw = np.random.default_rng(0)
    d = 256
    a = draw.standard_normal((20_000, d))
    b = 0.5 * a + np.sqrt(0.75) * draw.standard_normal((20_000, d))
    moved = np.abs(cosine(round_to_bfloat16(a), round_to_bfloat16(b)) - cosine(a, b))
    assert (moved > allow_for_rounding(d)).mean() < 1e-3
    assert moved.max() > allow_for_rounding(d) / 4, "the allowance is many times too large"


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / norms)


def round_to_bfloat16(values: np.ndarray) -> np.ndarray:
    mantissa, exponent = np.frexp(values)
    return np.asarray(np.ldexp(np.round(mantissa * 256) / 256, exponent))


def test_a_model_of_few_bits_is_allowed_more() -> None:
    allowed = [
        allow_for_rounding(2048, q) for q in (None, "BF16", "Q8_0", "Q6_K", "Q4_K_M", "Q2_K")
    ]
    assert allowed == sorted(allowed)
    assert allowed[0] == allowed[1] == pytest.approx(1.7e-4, rel=0.05)
    assert 0.01 < allowed[4] < 0.03
