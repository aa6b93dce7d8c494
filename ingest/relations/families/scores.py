"""From sums to scores: reductions in variance, the best test of each family, information.

METHODS §9; universal-neurons Eq. 4. Everything is float64.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ingest.relations.families.catalogue import FAMILIES
from ingest.relations.families.labelling import NamedTest
from ingest.relations.families.sums import FamilySums
from neurondb.contracts.families import FamilyRows
from neurondb.schema.codes import SIGN_CASES
from neurondb.schema.tables.families import ALL_CASES

LEAST_VARIANCE: Final = 1e-24
"""Of the mean square; a smaller variance is rounding, of a neuron that is constant."""
MOST_FAMILIES: Final = {True: len(FAMILIES), False: 3}
"""Families that are kept of a neuron: over all of its tokens, and in a sign case."""


def reduce_variance(
    by_test: Float[Tensor, "tests neurons"],
    total: Float[Tensor, " neurons"],
    square: Float[Tensor, " neurons"],
    n_of_test: Int[Tensor, " tests"],
    n_tokens: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the reduction in variance by each test, and the means inside and outside of it.

    The reduction is 1 − [(1 − β)σ²(v|y=0) + βσ²(v|y=1)] / σ²(v); 0 where the test holds for no
    token or for all, or where v is constant; NaN of a neuron with NaN among its values.

    Args:
        by_test: Σ v over the tokens that a test holds for.
        total: Σ v over all tokens.
        square: Σ v².
        n_of_test: how many tokens each test holds for.
        n_tokens: how many tokens there are.
    """
    n_inside = n_of_test.double()[:, None]
    n_outside = n_tokens - n_inside
    inside = by_test / n_inside.clamp(min=1)
    outside = (total - by_test) / n_outside.clamp(min=1)
    mean_square = square / n_tokens
    variance = mean_square - (total / n_tokens) ** 2
    constant = variance <= LEAST_VARIANCE * mean_square
    share = n_inside / n_tokens
    between = share * (1 - share) * (inside - outside) ** 2
    score = (between / torch.where(constant, 1.0, variance)).clamp(max=1)
    meaningless = (n_inside == 0) | (n_outside == 0) | constant
    return score.masked_fill(meaningless, 0.0), inside, outside


def rank_families(
    sums: FamilySums,
    tests: Sequence[NamedTest],
    n_of_test: Int[Tensor, " tests"],
    n_tokens: int,
    least_score: float,
) -> Iterator[FamilyRows]:
    """Yield the best test of each family, the best family first: over all tokens, then by case.

    Families of a smaller score than `least_score` are left out, but for the best one; those of
    score 0 always. In a sign case the best three are kept. Of equal tests the first is taken.
    """
    everything = (sums.by_test.sum(0), sums.total.sum(0), sums.square.sum(0))
    groups = [
        (family, [i for i, one in enumerate(tests) if one.family == family]) for family in FAMILIES
    ]
    columns = [torch.tensor(chosen) for _, chosen in groups if chosen]
    cases = [(ALL_CASES, everything)]
    cases += [
        (code, (sums.by_test[i], sums.total[i], sums.square[i]))
        for i, code in enumerate(sums.kind.cases)
    ]
    assert all(code < len(SIGN_CASES) for code, _ in cases)
    for code, parts in cases:
        score, inside, outside = (
            values.cpu() for values in reduce_variance(*parts, n_of_test, n_tokens)
        )
        score = score.nan_to_num(0.0)
        found = [score[chosen].max(0) for chosen in columns]
        best = torch.stack([one.values for one in found])
        test = torch.stack(
            [chosen[one.indices] for chosen, one in zip(columns, found, strict=True)]
        )
        order = best.sort(dim=0, descending=True, stable=True)
        kept = order.values >= least_score
        kept[0] = True
        kept &= order.values > 0
        kept[MOST_FAMILIES[code == ALL_CASES] :] = False
        neuron, rank = kept.T.nonzero(as_tuple=True)
        family = order.indices[rank, neuron]
        chosen_test = test[family, neuron]
        yield FamilyRows(
            code,
            neuron.numpy(),
            rank.numpy(),
            chosen_test.numpy(),
            score[chosen_test, neuron].numpy(),
            inside[chosen_test, neuron].numpy(),
            outside[chosen_test, neuron].numpy(),
        )


def compute_position_information(
    fires: Int[Tensor, "positions neurons"], n_of_position: Int[Tensor, " positions"]
) -> Float[np.ndarray, " neurons"]:
    """Return the mutual information of firing and the position, in nats, of every neuron.

    Firing is x_pre > 0 (Voita et al. 2023, whom universal-neurons §4.3 follows).

    Args:
        fires: tokens at a position at which the neuron fires.
        n_of_position: tokens at it.
    """
    n = n_of_position.double()[:, None]
    n_tokens = n.sum()
    information = torch.zeros(fires.shape[1], dtype=torch.float64, device=fires.device)
    for count in (fires.double(), n - fires.double()):
        expected = count.sum(0, keepdim=True) * n / n_tokens
        ratio = torch.where(count > 0, count / expected, 1.0)
        information += (count / n_tokens * ratio.log()).sum(0)
    return information.clamp(min=0).cpu().numpy()
