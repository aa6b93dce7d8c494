"""The directions that stand for a concept, layer by layer.

`unembed`: the mean of the unembedding's rows of the spellings that are one token. Where none is,
`token 1`, `token 2`, … : the rows of the tokens of the first spelling, one by one, for which of
them tells the concept from others nobody knows beforehand. `residual`: what MLPs read at its last
token, averaged over contexts, less the same of other concepts (a difference of means).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ingest.concepts.residual import read_last_positions, subtract_others
from ingest.concepts.spellings import list_spellings
from ingest.interventions.running_model import RunningModel
from ingest.weights.preprocess import preprocess_unembedding
from ingest.weights.token_rows import TokenRows
from neurondb.contracts.concept import Spelling
from neurondb.contracts.ingest import Preprocessing
from neurondb.errors import LackingModelError, UsageError

MOST_TOKEN_DIRECTIONS: Final = 4
"""So many first tokens of a phrase have a direction each."""
RESIDUAL: Final = "residual"
UNEMBED: Final = "unembed"

Directions = dict[str, Float[Tensor, "layers d_model"]]
"""Name of a direction → what it is in each layer."""


@dataclass(frozen=True)
class Contexts:
    """Where the residual stream of concepts is read.

    Attributes:
        before: texts that a concept follows.
        others: the concepts that are taken away.
    """

    before: Sequence[str]
    others: Sequence[str]


def make_directions(
    running: RunningModel,
    spellings: Sequence[Sequence[Spelling]],
    contexts: Contexts,
    choices: Preprocessing,
) -> list[Directions]:
    """Return the directions of each of several concepts.

    Args:
        running: the model.
        spellings: of each concept.
        contexts: where their residual streams are read.
        choices: how the weights that are compared with were preprocessed.

    Raises:
        UsageError: when no other concept is left to compare with.
        LackingModelError: when a context with a concept is longer than the model's context.
        ModelError: when the weights cannot be read, or memory is too small.
    """
    found = _unembed_directions(running, spellings, choices)
    for directions, residual in zip(
        found, _residual_directions(running, spellings, contexts, choices), strict=True
    ):
        directions[RESIDUAL] = residual
    return found


def _unembed_directions(
    running: RunningModel, spellings: Sequence[Sequence[Spelling]], choices: Preprocessing
) -> list[Directions]:
    checkpoint = running.checkpoint
    n_layers = checkpoint.architecture.n_layers
    rows = TokenRows.from_tokenizer(running.tokenizer, checkpoint.architecture.d_vocab)
    unembed = preprocess_unembedding(checkpoint, choices, rows)

    def mean(token_ids: Sequence[int]) -> Tensor:
        return unembed[rows.to_places(token_ids)].mean(0).expand(n_layers, -1)

    found: list[Directions] = []
    for of_concept in spellings:
        single = [one.token_ids[0] for one in of_concept if len(one.token_ids) == 1]
        first = of_concept[0].token_ids[:MOST_TOKEN_DIRECTIONS]
        found.append(
            {UNEMBED: mean(single)}
            if single
            else {f"token {place}": mean([token]) for place, token in enumerate(first, start=1)}
        )
    return found


def _residual_directions(
    running: RunningModel,
    spellings: Sequence[Sequence[Spelling]],
    contexts: Contexts,
    choices: Preprocessing,
) -> list[Float[Tensor, "layers d_model"]]:
    before = [running.tokenizer.encode_prompt(text) for text in contexts.before]
    d_vocab = running.checkpoint.architecture.d_vocab
    others = [list_spellings(running.tokenizer, other, d_vocab)[0] for other in contexts.others]
    firsts = [of_concept[0] for of_concept in spellings]
    ends = [one.token_ids for one in (*firsts, *others)]
    texts = [_join(running, ids, end) for end in ends for ids in before]
    streams = read_last_positions(running, texts, folded=choices.fold)
    by_end = torch.arange(len(texts)).view(len(ends), len(before))
    found = []
    for place, first in enumerate(firsts):
        apart = [
            by_end[len(firsts) + i]
            for i, other in enumerate(others)
            if other.text.casefold() != first.text.casefold()
        ]
        against = torch.cat(apart) if apart else by_end[:0].flatten()
        if not len(against):
            raise UsageError("no other concept is left to compare with")
        found.append(subtract_others(streams, by_end[place], streams[against]))
    return found


def _join(running: RunningModel, before: Sequence[int], end: Sequence[int]) -> NDArray[np.int64]:
    ids = np.array([*before, *end], dtype=np.int64)
    if not running.fits(len(ids)):
        raise LackingModelError(
            f"a context and the concept are {len(ids)} tokens, the context of "
            f"{running.stored.name} only {running.checkpoint.architecture.context}; shorten them"
        )
    return ids
