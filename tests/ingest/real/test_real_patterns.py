"""What the papers found in large models, looked for in SmolLM2-135M-Instruct.

Bounds are well inside what was measured (docs/real-models.md has the figures), so that they fail
when a number means another thing, not when it is rounded otherwise or the texts are others.
"""

import numpy as np
import pytest

from tests.ingest.real.real_ingests import RealIngest
from tests.support.arrays import Array, Mask
from tests.support.real_models import need_real_models

need_real_models()
pytestmark = [pytest.mark.real, pytest.mark.slow]

N_LAYERS, WIDTH = 30, 1536
LAST_THIRD = slice(20, None)


def by_layer(model: RealIngest, column: str) -> Array:
    """A column of neuron_overview: layers × neurons."""
    return model.table(column, "neuron_overview n").reshape(N_LAYERS, WIDTH)


def of_class(model: RealIngest, name: str) -> Mask:
    """Whether each neuron is of a class: layers × neurons."""
    found: Mask = by_layer(model, f"class = '{name}'") == 1
    return found


def test_early_neurons_write_what_they_read_and_late_ones_the_opposite(model: RealIngest) -> None:
    in_out = by_layer(model, "in_out")
    medians = np.median(in_out, axis=1)
    assert (medians[:15] > 0.02).all()
    assert (medians[1:14] > 0.1).all()
    assert np.median(in_out[LAST_THIRD]) < -0.04
    # One layer of the last third, 23, has a median of just over zero.
    assert (medians[LAST_THIRD] < 0).sum() >= 9
    assert (medians[24:] < -0.025).all()


def test_conditional_strengthening_is_early_and_conditional_weakening_late(
    model: RealIngest,
) -> None:
    strengthening = of_class(model, "conditional strengthening").mean(1)
    weakening = of_class(model, "conditional weakening").mean(1)
    assert strengthening[1:15].mean() > 10 * strengthening[LAST_THIRD].mean()
    assert strengthening[1:15].mean() > 0.08
    assert weakening[15:25].mean() > 2.5 * weakening[:15].mean()
    assert weakening[15:25].mean() > 0.04
    assert strengthening[:15].sum() > 4 * weakening[:15].sum()
    assert weakening[LAST_THIRD].sum() > 4 * strengthening[LAST_THIRD].sum()


def test_weakening_classes_are_a_handful_of_each_layer(model: RealIngest) -> None:
    assert of_class(model, "weakening").mean() < 0.01
    assert of_class(model, "orthogonal output").mean() > 0.6


def test_gates_that_open_often_are_those_of_neurons_that_write_the_opposite(
    model: RealIngest,
) -> None:
    freq, in_out = by_layer(model, "freq"), by_layer(model, "in_out")
    correlation = np.array([np.corrcoef(freq[i], in_out[i])[0, 1] for i in range(N_LAYERS)])
    assert (correlation[8:20] < -0.65).all(), correlation
    assert (correlation[1:23] < -0.5).all(), correlation


def test_weakening_neurons_fire_more_and_conditional_strengthening_ones_less(
    model: RealIngest,
) -> None:
    """Than the rest of their own layers, on average over their neurons."""
    freq = by_layer(model, "freq")

    def excess(kind: Mask) -> float:
        rest = np.array([own[~here].mean() for own, here in zip(freq, kind, strict=True)])
        return float((freq - rest[:, None])[kind].mean())

    assert excess(of_class(model, "weakening")) > 0.12
    assert excess(of_class(model, "conditional weakening")) > 0.2
    assert excess(of_class(model, "conditional strengthening")) < -0.1
