"""The next-token distribution at some positions of a text, and what a change of neurons does."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ingest.forward.prefix_cache import PrefixCachedModel
from ingest.interventions import Intervention, intervene
from ingest.interventions.explaining.session import PromptSession
from ingest.interventions.running_model import make_targets
from neurondb.contracts.prompt import TOP_TOKENS, NextToken, PromptRequest
from neurondb.interventions import Hook

POSITIONS_AT_A_TIME = 64
"""Positions whose logits exist at once."""

Normed = Float[Tensor, "positions d_model"]


class Distributions:
    """The next-token distributions at some positions.

    Logits of a few positions exist at a time: whoever asks for all goes from the first to the last.

    Args:
        session: the model.
        normed: what its unembedding reads at these positions.
    """

    def __init__(self, session: PromptSession, normed: Normed) -> None:
        self._session = session
        self._model = PrefixCachedModel(session.forward)
        self._normed = normed
        self._first = -1
        self._logits = torch.empty(0)
        self._normalisers: list[float] = []

    def read_logits(self, i: int) -> Float[Tensor, " d_vocab"]:
        """Return the logits at the position of this place, as the model puts them out."""
        first = i - i % POSITIONS_AT_A_TIME
        if first != self._first:
            part = self._normed[first : first + POSITIONS_AT_A_TIME]
            d_vocab = self._session.running.checkpoint.architecture.d_vocab
            self._logits = self._model.logits(part)[:, :d_vocab].float().cpu()
            self._normalisers = self._logits.logsumexp(-1).tolist()
            self._first = first
        return self._logits[i - first]

    def list_top(self, i: int) -> tuple[NextToken, ...]:
        """Return the most probable next tokens, in order."""
        row = self.read_logits(i)
        logits, ids = row.topk(min(TOP_TOKENS, len(row)))
        # Of equal ones all have the rank of the first.
        ranks = (logits[:, None] < logits).sum(1)
        found = zip(ids.tolist(), logits.tolist(), ranks.tolist(), strict=True)
        return tuple(self._make(i, *token) for token in found)

    def find_token(self, i: int, token_id: int) -> NextToken:
        """Return what a token has at the position of this place."""
        row = self.read_logits(i)
        logit = row[token_id]
        return self._make(i, token_id, float(logit), int((row > logit).sum()))

    def _make(self, i: int, token_id: int, logit: float, rank: int) -> NextToken:
        probability = math.exp(logit - self._normalisers[i - self._first])
        text = self._session.running.tokenizer.find_token_text(token_id)
        return NextToken(token_id, text, probability, logit, rank)


@torch.inference_mode()
def run_changed(session: PromptSession, request: PromptRequest, ids: list[int]) -> Normed:
    """Run a prompt with neurons changed, and return what the unembedding reads."""
    interventions = _interventions(session, request)
    forward, batch = session.forward, session.make_batch(ids)
    with intervene(forward, *interventions), forward.explain_errors(batch):
        decoded = forward.decoder(input_ids=batch.token_ids, use_cache=False)
    rows: Tensor = decoded.last_hidden_state[0]
    return rows


def _interventions(session: PromptSession, request: PromptRequest) -> list[Intervention]:
    found, model = [], session.stored
    if request.without:
        zeros = torch.zeros(len(request.without))
        found.append(
            Intervention(
                make_targets(model, request.without, session.find_signs(request.without), zeros)
            )
        )
    if request.clamps:
        places = [clamp.neuron for clamp in request.clamps]
        values = torch.tensor([clamp.value for clamp in request.clamps], dtype=torch.float32)
        hook: Hook = "hook_pre_linear" if request.hook == "hook_pre_linear" else "hook_post"
        found.append(
            Intervention(make_targets(model, places, session.find_signs(places), values), hook)
        )
    return found
