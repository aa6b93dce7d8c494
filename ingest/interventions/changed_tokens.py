"""The tokens that an intervention changed most, by each metric: what is kept of every token's.

The values of all tokens of a run are gone with it, unless they are saved to a file; these few are
stored with the run, so that its page shows where it mattered.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.interventions.token_values import TokenPlaces, TokenValues
from neurondb.contracts.ablate import ChangedToken
from neurondb.interventions import METRICS

N_KEPT: Final = 50
"""Tokens kept of a run and metric."""


def pick_changed_tokens(
    clean: TokenValues,
    ablated: TokenValues,
    run: int,
    places: TokenPlaces,
    token_ids: Sequence[NDArray[np.int64]],
) -> list[ChangedToken]:
    """Return the tokens whose metric changed most, the largest |clean − ablated| first, by metric.

    Equal changes go by text, then position. Tokens that did not change, or whose metric is NaN or
    infinite in either run, are none of them.

    Args:
        clean: Values of the clean run.
        ablated: Values of several runs.
        run: The place of the run among them.
        places: The place of each token among the values.
        token_ids: The token ids of each text.
    """
    kept = []
    for metric in METRICS:
        before = clean.read_metric(0, metric).astype(np.float64)
        after = ablated.read_metric(run, metric).astype(np.float64)
        for rank, place in enumerate(_find_largest(before - after)):
            text = int(np.searchsorted(places.starts, place, side="right")) - 1
            position = int(place - places.starts[text]) + places.first_position
            values = float(before[place]), float(after[place])
            token_id = int(token_ids[text][position])
            kept.append(ChangedToken(metric, rank, text, position, token_id, *values))
    return kept


def _find_largest(differences: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the places of the largest |differences|, the largest first, equal ones ascending."""
    with np.errstate(invalid="ignore"):
        sizes = np.abs(differences)
    candidates = np.flatnonzero(np.isfinite(sizes) & (sizes > 0))
    if len(candidates) > N_KEPT:
        # All that equal the last one stay for now, so that the first of them is kept.
        least = -np.partition(-sizes[candidates], N_KEPT - 1)[N_KEPT - 1]
        candidates = candidates[sizes[candidates] >= least]
    order = np.argsort(-sizes[candidates], kind="stable")[:N_KEPT]
    return np.asarray(candidates[order])
