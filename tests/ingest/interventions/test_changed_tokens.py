"""The tokens that changed most, against a sort of all of them in plain Python."""

import numpy as np
import pytest
import torch

from ingest.interventions.changed_tokens import N_KEPT, pick_changed_tokens
from ingest.interventions.token_values import TokenPlaces, TokenValues
from neurondb.interventions import METRICS

LENGTHS = (40, 0, 1, 70, 25)


def values(tokens: np.ndarray) -> TokenValues:
    found = TokenValues(1, tokens.shape[1])
    found.put(0, np.arange(tokens.shape[1]), torch.from_numpy(tokens))
    return found


@pytest.mark.parametrize("skip_bos", [False, True])
def test_they_are_the_first_of_all_sorted(skip_bos: bool) -> None:
    random = np.random.default_rng(5)
    places = TokenPlaces(LENGTHS, skip_bos=skip_bos)
    shape = (len(METRICS), places.n_tokens)
    clean, ablated = (random.integers(-4, 5, shape).astype(np.float32) for _ in range(2))
    clean[:, ::7] = np.nan
    ablated[1, ::5] = np.inf
    ids = [np.arange(n) + 1000 * text for text, n in enumerate(LENGTHS)]
    first = int(skip_bos)
    counted = [(text, p) for text, n in enumerate(LENGTHS) for p in range(first, n)]
    found = pick_changed_tokens(values(clean), values(ablated), 0, places, ids)
    wanted = []
    for row, metric in enumerate(METRICS):
        changes = [
            (-abs(float(a) - float(b)), *place, float(a), float(b))
            for a, b, place in zip(clean[row], ablated[row], counted, strict=True)
            if np.isfinite([a, b]).all() and a != b
        ]
        for rank, (_, text, position, a, b) in enumerate(sorted(changes)[:N_KEPT]):
            token_id = text * 1000 + position
            wanted.append((metric, rank, text, position, token_id, a, b))
    assert [tuple(one) for one in found] == wanted
    assert len(found) == N_KEPT * len(METRICS)


def test_what_changed_nothing_has_none() -> None:
    same = values(np.ones((len(METRICS), 5), dtype=np.float32))
    places = TokenPlaces([5], skip_bos=False)
    assert pick_changed_tokens(same, same, 0, places, [np.arange(5)]) == []
