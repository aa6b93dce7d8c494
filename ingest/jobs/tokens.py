"""The job `tokens`: any token under the LM head, for every neuron of a stored model (METHODS §4).

p = softmax(U·in), neither preprocessed; normalised = p of the token ÷ mean of the neuron's 100
largest p. Source: specialised-feature-neurons §2. Gated neurons are decoded at −in too. The
vocabulary passes by in tiles: memory is U in float32 and two tiles of logits. Every token asked for
comes out of the same pass, at both sides. Where the vocab stage has stored the most probable token
of each, no pass is needed (`decode_from_anchors`).
"""

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, func, select
from torch import Tensor

from ingest.forward.open_model import OpenModel, open_stored_model
from ingest.weights.token_rows import TokenRows
from neurondb import migrate
from neurondb.contracts.model import RunRecord
from neurondb.contracts.progress import Progress
from neurondb.contracts.tokens import LmHeadRequest
from neurondb.database import open_existing
from neurondb.errors import CheckpointError
from neurondb.reading.lm_head import Decoding
from neurondb.reading.models import Model, find_model
from neurondb.reading.provenance import list_outdated_steps
from neurondb.schema import codes, tables
from neurondb.writing import models
from neurondb.writing.ledger import WHOLE_MODEL, Ledger, Step
from neurondb.writing.rows import transaction
from neurondb.writing.vocabulary import write_lm_head

N_LARGEST: Final = 100
GROUP_SIZE: Final = 16
"""Tokens of which at most one is looked at before it is known which groups have the largest."""
STAGE: Final = "lm_head"


class Tile(NamedTuple):
    """Neurons and tokens whose logits exist at a time."""

    neurons: int
    tokens: int


TILES: Final = {"cuda": Tile(8192, 16_384)}
SMALL_TILE: Final = Tile(512, 16_384)
"""On a processor: 32 MB, of the order of its caches."""


def run(request: LmHeadRequest, progress: Progress) -> list[Decoding]:
    """Decode tokens from every `in` of a model, and store the result where that is asked for.

    Raises:
        UnknownNameError: when the model is not in the database.
        ModelError: when its weights cannot be read.
        IngestError: when they are no longer where they were, or are others.
    """
    engine = (
        migrate.create_or_open(request.database)
        if request.store
        else open_existing(request.database)
    )
    try:
        with engine.connect() as connection:
            model = find_model(connection, request.model)
            opened = open_stored_model(connection, model, request.device)
            decodings = _decoded(connection, model, opened, request, progress)
        if request.store:
            _store(engine, model, opened, decodings)
    finally:
        engine.dispose()
    return decodings


def _decoded(
    connection: Connection,
    model: Model,
    opened: OpenModel,
    request: LmHeadRequest,
    progress: Progress,
) -> list[Decoding]:
    checkpoint, device = opened.checkpoint, opened.device
    sizes, tokens = opened.architecture, list(request.token_ids)
    rows = _token_rows(connection, model)
    unknown = sorted(set(tokens) - set(rows.ids.tolist()))
    if unknown:
        raise CheckpointError(f"{checkpoint.path} has no row for token #{unknown[0]}")
    opened.prepare_processor()
    layers = range(sizes.n_layers) if request.layers is None else request.layers
    sides = codes.list_sides(gated=model.gated)
    decoded = np.full((2, len(tokens), len(sides), sizes.n_layers, sizes.d_mlp), np.nan)
    unembed, token_unembed = checkpoint.read_unembedding(), None
    has_anchors = not list_outdated_steps(connection, model.model_id)
    with progress.stage("LM head", len(layers), "layers") as advance:
        for layer in layers:
            parts = checkpoint.read_parts(layer)
            raw_in = torch.cat([part.in_.to(device).float() for part in parts])
            anchors = [_anchors(connection, model, layer, side) for side in sides]
            n_decoded = int((raw_in != 0).any(1).sum())
            if has_anchors and all(len(of_side.neuron) == n_decoded for of_side in anchors):
                for i, side in enumerate(sides):
                    decoded[:, :, i, layer, : len(raw_in)] = decode_from_anchors(
                        side * raw_in, unembed, tokens, anchors[i]
                    )
            else:
                token_unembed = (
                    rows.select(unembed).to(device).float()
                    if token_unembed is None
                    else token_unembed
                )
                decoded[:, :, :, layer, : len(raw_in)] = decode_tokens(
                    raw_in, token_unembed, rows.to_places(tokens), sides
                )
            advance(1)
    return [Decoding(token, *decoded[:, i]) for i, token in enumerate(tokens)]


def _token_rows(connection: Connection, model: Model) -> TokenRows:
    """Return which rows of U are tokens; all, where no tokenizer has given any a spelling."""
    t = tables.tokens.c
    is_token = (t.model_id == model.model_id) & t.piece.is_not(None)
    token_ids = connection.scalars(select(t.token_id).where(is_token).order_by(t.token_id)).all()
    unused = 0 < len(token_ids) < model.d_vocab
    return TokenRows(model.d_vocab, np.array(token_ids, dtype=np.int64) if unused else None)


class Anchors(NamedTuple):
    """The stored decoding of each neuron's most probable token, at one side of `in`."""

    neuron: NDArray[np.int64]
    token_id: NDArray[np.int64]
    probability: NDArray[np.float64]
    normalised: NDArray[np.float64]


def _anchors(connection: Connection, model: Model, layer: int, side: int) -> Anchors:
    first = model.first_neuron_id + layer * model.d_mlp
    t = tables.lm_head_tokens.c
    rows = connection.execute(
        select(t.neuron_id - first, t.token_id, t.probability, t.normalised)
        .where(t.neuron_id >= first, t.neuron_id < first + model.d_mlp, t.side == side)
        .order_by(t.neuron_id)
    ).all()
    neuron, token_id, probability, normalised = (
        np.array([tuple(row) for row in rows], dtype=np.float64).reshape(-1, 4).T
    )
    return Anchors(neuron.astype(np.int64), token_id.astype(np.int64), probability, normalised)


@torch.no_grad()
def decode_from_anchors(
    vectors: Float[Tensor, "neurons d_model"],
    unembed_raw: Float[Tensor, "d_vocab d_model"],
    token_ids: Sequence[int],
    anchors: Anchors,
) -> NDArray[np.float64]:
    """Return what `decode_tokens` does of one side, from one token of each neuron, decoded already.

    Two tokens' probabilities differ by the exponential of the difference of their logits, and so do
    the normalised ones: the vocabulary has been summed over once, when the first was decoded.
    """
    decoded = np.full((2, len(token_ids), len(vectors)), np.nan)
    device = vectors.device
    token_rows = unembed_raw[list(token_ids)].to(device).double()
    for start in range(0, len(anchors.neuron), SMALL_TILE.neurons):
        part = slice(start, start + SMALL_TILE.neurons)
        rows = vectors[torch.from_numpy(anchors.neuron[part]).to(device)].double()
        anchor_rows = unembed_raw[torch.from_numpy(anchors.token_id[part])].to(device).double()
        factor = (token_rows @ rows.T - (anchor_rows * rows).sum(1)).exp().cpu().numpy()
        decoded[0][:, anchors.neuron[part]] = anchors.probability[part] * factor
        decoded[1][:, anchors.neuron[part]] = anchors.normalised[part] * factor
    return decoded


@torch.no_grad()
def decode_tokens(
    raw_in: Float[Tensor, "neurons d_model"],
    unembed_raw: Float[Tensor, "tokens d_model"],
    places: Sequence[int],
    sides: Sequence[int] = codes.SIDES,
) -> NDArray[np.float64]:
    """Return probability and normalised probability, 2 × tokens × sides × neurons.

    NaN for a zero vector. The sides come from the same products: those of −in are those of in
    negated.

    Args:
        raw_in: `in` as it is stored, float32.
        unembed_raw: the tokens' rows of U as it is stored, float32.
        places: the rows of the tokens to decode.
        sides: the sides of `in` to decode: 1 as it is stored, −1 negated.
    """
    tile = TILES.get(raw_in.device.type, SMALL_TILE)
    parts = [
        _decode_tile(rows, unembed_raw, places, sides, tile.tokens)
        for rows in torch.split(raw_in, tile.neurons)
    ]
    return torch.cat(parts, dim=3).cpu().numpy()


def _decode_tile(
    rows: Tensor, unembed: Tensor, places: Sequence[int], sides: Sequence[int], n_tokens: int
) -> Tensor:
    sums = [_Sums(len(rows), rows.device) for _ in sides]
    for tokens in torch.split(unembed, n_tokens):
        logits = rows @ tokens.T
        for side, side_sums in zip(sides[:-1], sums, strict=False):
            side_sums.add(side * logits)
        sums[-1].add(logits.neg_() if sides[-1] < 0 else logits)
    # Few enough for float64, so that equal neurons stay equal whatever tile they are in.
    token_logits = (rows.double() @ unembed[list(places)].double().T).T
    parts = [
        side_sums.decode(side * token_logits) for side, side_sums in zip(sides, sums, strict=True)
    ]
    # no direction, no decoding
    return torch.stack(parts, dim=2).masked_fill((rows == 0).all(1), torch.nan)


class _Sums:
    """What is known of the logits of one side of some neurons, as they pass by."""

    def __init__(self, n_neurons: int, device: torch.device) -> None:
        self._largest = torch.empty(n_neurons, 0, device=device)
        self._log_total = torch.full((n_neurons,), -torch.inf, dtype=torch.float64, device=device)

    def add(self, logits: Float[Tensor, "neurons tokens"]) -> None:
        """Add a tile of logits, which is overwritten."""
        both = torch.cat([self._largest, _largest(logits)], dim=1)
        self._largest = both.topk(min(N_LARGEST, both.shape[1]), dim=1, sorted=False).values
        self._log_total = torch.logaddexp(self._log_total, _log_sum_exp(logits))

    def decode(
        self, token_logits: Float[Tensor, "tokens neurons"]
    ) -> Float[Tensor, "2 tokens neurons"]:
        """Return probability and normalised probability of tokens, from their logits in float64."""
        top = self._largest.double()
        log_mean = top.logsumexp(1) - np.log(top.shape[1])
        return torch.stack(
            [(token_logits - self._log_total).exp(), (token_logits - log_mean).exp()]
        )


def _largest(logits: Float[Tensor, "neurons tokens"]) -> Float[Tensor, "neurons kept"]:
    """Return each row's 100 largest values, in no order.

    They lie in the 100 groups of largest maximum, so only those are searched: a sixth of the time.
    """
    n_groups = logits.shape[1] // GROUP_SIZE
    if n_groups <= N_LARGEST:
        return logits.topk(min(N_LARGEST, logits.shape[1]), dim=1, sorted=False).values
    whole = n_groups * GROUP_SIZE
    groups = logits[:, :whole].reshape(len(logits), n_groups, GROUP_SIZE)
    chosen = groups.amax(2).topk(N_LARGEST, dim=1, sorted=False).indices
    candidates = groups.gather(1, chosen[:, :, None].expand(-1, -1, GROUP_SIZE)).flatten(1)
    both = torch.cat([candidates, logits[:, whole:]], dim=1)
    return both.topk(N_LARGEST, dim=1, sorted=False).values


def _log_sum_exp(logits: Float[Tensor, "neurons tokens"]) -> Float[Tensor, " neurons"]:
    """Return log Σ exp in float64; overwrites the logits, which are of no further use."""
    highest = logits.amax(1, keepdim=True)
    total = logits.sub_(highest).exp_().sum(1, dtype=torch.float64)
    return total.log() + highest[:, 0].double()


def _store(
    engine: Engine,
    model: Model,
    opened: OpenModel,
    decodings: Sequence[Decoding],
) -> None:
    """Write all tokens, or none, with the step that says where they came from."""
    with transaction(engine) as connection:
        stored = models.find_model(connection, model.model_id)
    run = RunRecord(
        stages=STAGE,
        torch_version=str(torch.__version__),
        fingerprint=opened.checkpoint.fingerprint(),
        **dict.fromkeys(("fold", "center", "center_gate", "fold_post_norm", "canonicalise"), False),
        dtype="float32",
        device=str(opened.device),
        seed=0,
    )
    with transaction(engine) as connection:
        earlier = _earlier(connection, model)
    tokens = sorted({*earlier.tokens, *(decoding.token_id for decoding in decodings)})
    ledger = Ledger(engine, stored, models.start_run(engine, stored, run), force=True)
    with ledger.finishing(Step(STAGE, WHOLE_MODEL, {"tokens": tokens})) as writer:
        writer.n_rows = earlier.n_rows - _replaced(writer.connection, model, decodings)
        # Clustered by token, side and neuron: in this order the table grows at one end a token.
        for decoding in decodings:
            for i, side in enumerate(decoding.sides):
                for layer in range(model.n_layers):
                    values = decoding.probability[i, layer], decoding.normalised[i, layer]
                    write_lm_head(writer, layer, decoding.token_id, side, *values)
    models.finish_run(engine, ledger.run_id, None)


def _replaced(connection: Connection, model: Model, decodings: Sequence[Decoding]) -> int:
    """Return how many rows are stored of tokens that are stored again."""
    h, first = tables.lm_head_rows.c, model.first_neuron_id
    of_model = h.neuron_id.between(first, first + model.n_ids - 1)
    tokens = h.token_id.in_([decoding.token_id for decoding in decodings])
    count = select(func.count()).select_from(tables.lm_head_rows).where(tokens, of_model)
    return connection.execute(count).scalar_one()


class _Earlier(NamedTuple):
    """The tokens that are stored, and their rows."""

    tokens: list[int]
    n_rows: int


def _earlier(connection: Connection, model: Model) -> _Earlier:
    s = tables.ingest_steps.c
    of_model = (s.model_id == model.model_id) & (s.stage == STAGE)
    row = connection.execute(select(s.settings, s.n_rows).where(of_model)).first()
    return _Earlier([], 0) if row is None else _Earlier(json.loads(row[0])["tokens"], row[1])
