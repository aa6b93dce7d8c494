"""Token lists, norms of tokens, what gate and in have in common, one token decoded."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neurondb.contracts.model import Token
from neurondb.contracts.tokens import LmHeadTokens
from neurondb.contracts.vocabulary import TokenList, VocabularyMoments, VocabularyRecord
from neurondb.contracts.weights import WeightsRecord
from neurondb.schema import codes, tables
from neurondb.writing.datasets import store_token_norms, store_tokens
from neurondb.writing.ledger import StepWriter
from neurondb.writing.models import forget_model
from neurondb.writing.vocabulary import compute_overlap, write_lm_head, write_vocabulary
from neurondb.writing.weights import write_classes, write_weights
from tests.support.activation_records import LAYERS, WIDTH

K, TOKENS = 3, 16


def weights(draw: np.random.Generator) -> WeightsRecord:
    gate, in_, out = draw.uniform(0.5, 2, (3, WIDTH))
    gate_in, gate_out, in_out = draw.uniform(-1, 1, (3, WIDTH))
    return WeightsRecord(
        sign=np.ones(WIDTH, dtype=np.int64),
        gate_norm=gate,
        in_norm=in_,
        out_norm=out,
        gate_bias=None,
        in_bias=None,
        penalty=in_**2,
        gate_in=gate_in,
        gate_out=gate_out,
        in_out=in_out,
        baselines=(),
    )


def vocabulary(draw: np.random.Generator, vectors: tuple[str, ...] = codes.VECTORS) -> Any:
    def tokens() -> TokenList:
        ids = np.stack([draw.permutation(TOKENS)[:K] for _ in range(WIDTH)])
        return TokenList(ids, draw.uniform(-1, 1, (WIDTH, K)))

    lists = {code: tokens() for code, vector, *_ in codes.TOKEN_LISTS if vector in vectors}
    moments = {
        codes.VECTORS.index(vector): VocabularyMoments(*draw.normal(size=(5, WIDTH)))
        for vector in vectors
    }
    head = {
        side: LmHeadTokens(draw.integers(0, TOKENS, WIDTH), *draw.uniform(0, 1, (2, WIDTH)))
        for side in codes.list_sides(gated="gate" in vectors)
    }
    return VocabularyRecord(lists, moments, head, draw.uniform(0, 1, WIDTH))


def rows(writer: StepWriter, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in writer.connection.exec_driver_sql(sql)]


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def ready(writer: StepWriter, draw: np.random.Generator) -> StepWriter:
    """A model with its tokens and the weights of layer 1."""
    store_tokens(writer, [Token(f"t{i}", None) for i in range(TOKENS)])
    write_weights(writer, 1, weights(draw))
    return writer


def test_a_dot_product_is_the_cosine_times_both_norms(
    ready: StepWriter, draw: np.random.Generator
) -> None:
    unembed, embed = draw.uniform(0.5, 2, (2, TOKENS))
    record = vocabulary(draw)
    write_vocabulary(ready, 1, record)
    store_token_norms(ready, unembed, embed)

    norms = rows(ready, "SELECT gate_norm, in_norm, out_norm FROM neurons ORDER BY neuron_id")
    found = rows(ready, "SELECT vector, basis, direction, neuron_id, rank, dot FROM top_tokens")
    assert len(found) == 12 * WIDTH * K
    codes_of = {tuple(words): code for code, *words in codes.TOKEN_LISTS}
    for vector, basis, direction, neuron_id, rank, dot in found:
        one, neuron = record.lists[codes_of[vector, basis, direction]], (neuron_id - 1) % WIDTH
        token_norm = (unembed if basis == "unembed" else embed)[one.token_ids[neuron, rank]]
        norm = norms[neuron][codes.VECTORS.index(vector)]
        assert dot == pytest.approx(one.cosine[neuron, rank] * norm * token_norm, rel=1e-12)


def test_without_the_norms_of_tokens_there_is_no_dot_product(
    ready: StepWriter, draw: np.random.Generator
) -> None:
    write_vocabulary(ready, 1, vocabulary(draw))

    assert rows(ready, "SELECT DISTINCT dot FROM top_tokens") == [(None,)]
    assert len(rows(ready, "SELECT cosine FROM top_tokens")) == 12 * WIDTH * K


def test_norms_are_those_of_this_model_and_may_be_unknown(
    ready: StepWriter, draw: np.random.Generator
) -> None:
    unembed, embed = draw.uniform(0.5, 2, (2, TOKENS))
    unembed[3] = np.nan
    ready.connection.execute(
        tables.tokens.insert(), {"model_id": 77, "token_id": 3, "token": "other"}
    )
    store_token_norms(ready, unembed.astype(np.float32), embed)

    found = rows(
        ready, "SELECT unembed_norm, embed_norm FROM tokens WHERE model_id <> 77 ORDER BY token_id"
    )
    np.testing.assert_allclose(
        np.array(found, dtype=np.float64), np.stack([unembed, embed], 1), rtol=1e-6
    )
    assert rows(ready, "SELECT unembed_norm FROM tokens WHERE model_id = 77") == [(None,)]


def test_only_out_has_a_share_in_the_null_directions(
    ready: StepWriter, draw: np.random.Generator
) -> None:
    record = vocabulary(draw)
    write_vocabulary(ready, 1, record)

    found = rows(ready, "SELECT vector, null_share FROM vocab_stats ORDER BY neuron_id")
    assert [share for vector, share in found if vector == "out"] == record.null_share.tolist()
    assert {share for vector, share in found if vector != "out"} == {None}
    write_vocabulary(ready, 1, replace(record, null_share=None))
    assert rows(ready, "SELECT DISTINCT null_share FROM vocab_stats") == [(None,)]


# --- double checking ----------------------------------------------------------------------


def overlap(left: Any, right: Any) -> float:
    a, b = set(left.tolist()), set(right.tolist())
    return len(a & b) / len(a | b)


def test_double_checking_is_the_overlap_at_the_better_sign(
    ready: StepWriter, draw: np.random.Generator
) -> None:
    record = vocabulary(draw)
    write_vocabulary(ready, 1, record)

    found = rows(ready, "SELECT * FROM double_checking ORDER BY neuron_id")
    tops = [
        record.lists[codes.encode_token_list(v, 0, end)].token_ids for v in (0, 1) for end in (0, 1)
    ]
    first, _ = ready.model.neuron_ids(1)
    for i, row in enumerate(found):
        gate, gate_bottom, in_, in_bottom = (ids[i] for ids in tops)
        better = max(overlap(gate, in_), overlap(gate, in_bottom))
        sign = 1 if overlap(gate, in_) == better else -1
        other = overlap(gate_bottom, in_bottom if sign == 1 else in_)
        assert row == (first + i, K, pytest.approx(better), pytest.approx(other), sign)
    assert {row[-1] for row in found} == {1, -1}
    assert len(found) == WIDTH


def test_a_zero_vector_checks_nothing(ready: StepWriter, draw: np.random.Generator) -> None:
    record = vocabulary(draw)
    for end in (0, 1):
        record.lists[codes.encode_token_list(1, 0, end)].token_ids[2] = -1
    write_vocabulary(ready, 1, record)

    found = rows(ready, "SELECT * FROM double_checking ORDER BY neuron_id")
    assert found[2][1:] == (K, None, None, None)
    assert all(row[2] is not None for row in found[:2] + found[3:])


def test_an_ungated_model_has_no_double_checking(
    ready: StepWriter, draw: np.random.Generator
) -> None:
    write_vocabulary(ready, 1, vocabulary(draw, ("in", "out")))

    assert rows(ready, "SELECT * FROM double_checking") == []


def test_overlap_at_its_ends() -> None:
    left, right = np.array([[1, 2], [1, 2], [1, 2]]), np.array([[2, 1], [3, 4], [2, 5]])
    assert compute_overlap(left, right).tolist() == [1, 0, 1 / 3]


# --- one token, all neurons ---------------------------------------------------------------


def test_a_token_is_decoded_for_every_neuron_and_once(ready: StepWriter) -> None:
    probability = np.linspace(0.1, 0.5, WIDTH, dtype=np.float32)
    probability[3] = np.nan
    for layer in range(LAYERS):
        for token in (4, 9):
            write_lm_head(ready, layer, token, 1, probability * 0, probability)
            write_lm_head(ready, layer, token, -1, probability, 3 * probability)
            write_lm_head(ready, layer, token, 1, probability, 2 * probability)

    found = rows(
        ready, "SELECT token_id, side, neuron_id, normalised FROM lm_head_rows ORDER BY 1, 2, 3"
    )
    assert len(found) == 2 * 2 * LAYERS * (WIDTH - 1)
    assert found[0] == (4, -1, 1, pytest.approx(0.3))
    assert found[LAYERS * (WIDTH - 1)] == (4, 1, 1, pytest.approx(0.2))


@pytest.mark.parametrize(("vectors", "sides"), [(codes.VECTORS, (1, -1)), (("in", "out"), (1,))])
def test_top_tokens_are_stored_with_their_side(
    ready: StepWriter, draw: np.random.Generator, vectors: tuple[str, ...], sides: tuple[int, ...]
) -> None:
    record = vocabulary(draw, vectors)
    record.lm_head[1].token_ids[2] = -1  # a zero vector
    write_vocabulary(ready, 1, record)
    write_vocabulary(ready, 1, record)  # in its place

    first, _ = ready.model.neuron_ids(1)
    found = rows(ready, "SELECT neuron_id, side, token_id, normalised FROM lm_head_tokens")
    expected = {
        (first + i, side, int(one.token_ids[i]), float(one.normalised[i]))
        for side, one in record.lm_head.items()
        for i in range(WIDTH)
        if one.token_ids[i] >= 0
    }
    assert {side for _, side, *_ in expected} == set(sides)
    assert sorted(found) == sorted(expected)


def test_forgetting_the_model_leaves_no_row_of_it(
    ready: StepWriter, draw: np.random.Generator
) -> None:
    write_classes(ready, 1, 0.5)
    write_vocabulary(ready, 1, vocabulary(draw))
    write_lm_head(ready, 1, 4, -1, *draw.uniform(0, 1, (2, WIDTH)))

    forget_model(ready.connection, ready.model.model_id)

    for table in ("tokens", "top_token_rows", "vocab_stat_rows", "double_checking", "lm_head_rows"):
        assert rows(ready, f"SELECT * FROM {table}") == []
