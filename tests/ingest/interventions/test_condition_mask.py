"""Where neurons stay as they are, against the definition, one value at a time (METHODS §6)."""

import itertools
import math

import pytest
import torch

from ingest.interventions.condition_mask import mask_untouched
from neurondb.interventions import Condition

VALUES = (-2.0, -0.0, 0.0, 0.5, math.nan)
SIGNS = (-1.0, 1.0)


def is_untouched(
    target: float, post: float, gate: float, sign: float, condition: Condition
) -> bool:
    """A neuron is set where each sign that is asked for is strictly the one it has."""
    holds = not condition.gate or (gate > 0 if condition.gate > 0 else gate < 0)
    canonical = post * sign
    holds = holds and (
        not condition.post or (canonical > 0 if condition.post > 0 else canonical < 0)
    )
    return math.isnan(target) or not holds


@pytest.mark.parametrize(
    "condition", [Condition(*signs) for signs in itertools.product((-1, 0, 1), repeat=2)]
)
def test_a_neuron_is_set_only_where_it_has_the_signs(condition: Condition) -> None:
    rows = list(itertools.product((1.5, math.nan), VALUES, VALUES, SIGNS))
    target, post, gate, signs = torch.tensor(rows).T
    expected = [is_untouched(*row, condition) for row in rows]
    assert mask_untouched(target, post, gate, signs, condition).tolist() == expected


def test_a_condition_on_post_alone_needs_no_gate() -> None:
    post = torch.tensor([[1.0, -1.0]])
    untouched = mask_untouched(
        torch.zeros(1, 2), post, None, torch.tensor([1.0, 1.0]), Condition.parse("post+")
    )
    assert untouched.tolist() == [[False, True]]
