"""Token lists, vocabulary moments, LM-head decoding and tokens against float64 brute force."""

import dataclasses
import itertools
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from tokenizers import Tokenizer

from neurondb.contracts.ingest import IngestRequest, Preprocessing
from neurondb.schema.codes import BASES, DIRECTIONS, VECTORS
from tests.support.arrays import Array
from tests.support.ingested import (
    SUBJECTS,
    TOKENIZER_FILES,
    Subject,
    fresh,
    random_model,
    save,
    spelled_out,
    subject,
    write_byte_level_tokenizer,
)
from tests.support.padded_models import AT_THE_END, WITH_HOLES, padded
from tests.support.random_models import GROUPED, build
from tests.support.real_models import BUNDLED
from tests.support.vocabulary_reference import lm_head, moments, token_scores
from tests.support.weights_reference import Layer, norms

SWAPPED = 1e-7
"""Two tokens whose float64 scores are closer than this may change places."""
RAW = Preprocessing.raw()


@pytest.fixture(params=SUBJECTS)
def model(request: pytest.FixtureRequest) -> Subject:
    return subject(request.param)


def vocabulary_of(directory: Path, **options: Any) -> Subject:
    """Return a model of which the weights and the vocabulary are ingested."""
    return Subject(IngestRequest(model=str(directory), stages=("weights", "vocab"), **options))


class TokenList(NamedTuple):
    """One list of every neuron of a layer: neurons × k."""

    token_ids: NDArray[np.int64]
    cosines: Array
    dots: Array


def stored_lists(model: Subject, layer: int, vector: str, basis: str, direction: str) -> TokenList:
    rows = model.rows(
        "SELECT neuron_id, token_id, cosine, dot FROM top_tokens JOIN neurons USING (neuron_id)"
        " WHERE layer = ? AND vector = ? AND basis = ? AND direction = ? ORDER BY neuron_id, rank",
        *(layer, vector, basis, direction),
    )
    table = np.array(rows)
    shape = (len(np.unique(table[:, 0])), -1)
    ids, cosines, dots = (column.reshape(shape) for column in table.T[1:])
    return TokenList(ids.astype(np.int64), cosines, dots)


def assert_list_right(found: TokenList, vectors: Array, rows: Array, direction: str) -> None:
    """The most extreme tokens, in their order, with their scores."""
    scores, dots = token_scores(vectors, rows), vectors @ rows.T
    at = (np.arange(len(vectors))[:, None], found.token_ids)
    sign = 1 if direction == "top" else -1
    expected = -sign * np.sort(-sign * scores, axis=1)[:, : found.token_ids.shape[1]]
    scale = norms(vectors).max() * norms(rows).max()
    np.testing.assert_allclose(scores[at], expected, atol=SWAPPED, rtol=0)
    np.testing.assert_allclose(found.cosines, scores[at], atol=1e-6, rtol=0)
    np.testing.assert_allclose(found.dots, dots[at], atol=1e-6 * scale, rtol=1e-6)
    assert all(len(set(ids)) == len(ids) for ids in found.token_ids.tolist())
    assert_ties_ascend(found)


def assert_ties_ascend(found: TokenList) -> None:
    tied = np.diff(found.cosines, axis=1) == 0
    assert (np.diff(found.token_ids, axis=1)[tied] > 0).all()


def in_places(model: Subject, found: TokenList) -> TokenList:
    """Return a list with the places of its tokens among those that exist."""
    tokens = model.reference.token_ids
    assert np.isin(found.token_ids, tokens).all()
    return found._replace(token_ids=np.searchsorted(tokens, found.token_ids))


def bases(model: Subject) -> dict[str, Array]:
    return {"unembed": model.reference.unembed, "embed": model.reference.embed}


def vectors_of(layer: Layer) -> dict[str, Array]:
    named = {name: layer.vector(name) for name in VECTORS}
    return {name: vectors for name, vectors in named.items() if vectors is not None}


def assert_all_lists_right(model: Subject, k: int) -> None:
    for number, layer in enumerate(model.reference.layers):
        for (vector, rows), (basis, table), direction in itertools.product(
            vectors_of(layer).items(), bases(model).items(), DIRECTIONS
        ):
            found = in_places(model, stored_lists(model, number, vector, basis, direction))
            assert found.token_ids.shape == (len(rows), k)
            assert_list_right(found, rows, table, direction)


# --- token lists --------------------------------------------------------------------------


def test_every_token_list_holds_the_most_extreme_tokens_in_order(model: Subject) -> None:
    assert_all_lists_right(model, 16)


def test_an_ungated_model_has_lists_of_in_and_out_alone() -> None:
    found = subject("gpt2").rows("SELECT DISTINCT vector FROM top_tokens ORDER BY 1")
    assert found == [("in",), ("out",)]


@pytest.mark.parametrize("choices", [RAW, Preprocessing(fold=False), Preprocessing(center=False)])
@pytest.mark.parametrize("family", ["gemma", "stablelm", "gpt2"])
def test_the_unembedding_follows_the_choices(family: str, choices: Preprocessing) -> None:
    assert_all_lists_right(vocabulary_of(random_model(family), preprocessing=choices), 16)


@pytest.mark.parametrize(("asked", "given"), [(1, 1), (600, 512)])
def test_a_list_holds_k_tokens_or_the_whole_vocabulary(asked: int, given: int) -> None:
    assert_all_lists_right(vocabulary_of(random_model("mistral"), top_k=asked), given)


def test_the_role_view_reads_the_top_token_of_out(model: Subject) -> None:
    rows = model.rows(
        "SELECT o.top_out_token, t.token FROM neuron_overview o JOIN top_tokens p USING (neuron_id)"
        " JOIN tokens t USING (token_id)"
        " WHERE (vector, basis, direction, rank) = ('out', 'unembed', 'top', 0)"
    )
    assert rows
    assert all(shown == token for shown, token in rows)


# --- ties and zeros -----------------------------------------------------------------------

TWINS = (5, 17, 300, 511)
ZEROS = (9, 40)


def with_twins(family: str) -> Path:
    """Some rows of U and E all the same, and some of nothing but zeros."""
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(random_model(family))
    with torch.no_grad():
        for table in (model.get_input_embeddings().weight, model.get_output_embeddings().weight):
            table[list(TWINS)] = table[TWINS[0]].clone()
            table[list(ZEROS)] = 0
    return save(model)


@pytest.fixture(scope="module", params=["mistral", "llama-square", "gpt2"])
def twins(request: pytest.FixtureRequest) -> Subject:
    """Untied, tied and ungated; k so large that the equal tokens are in many lists."""
    return vocabulary_of(with_twins(request.param), top_k=200, preprocessing=RAW)


def test_equal_rows_stand_in_the_order_of_their_ids(twins: Subject) -> None:
    for layer, vector, basis, direction in itertools.product(
        range(2), vectors_of(twins.reference.layers[0]), BASES, DIRECTIONS
    ):
        for ids in stored_lists(twins, layer, vector, basis, direction).token_ids.tolist():
            seen = [token for token in ids if token in TWINS]
            assert seen == list(TWINS[: len(seen)])


def test_a_token_whose_row_is_zero_scores_zero(twins: Subject) -> None:
    everything = vocabulary_of(twins.directory, top_k=512, preprocessing=RAW)
    marks = ", ".join("?" * len(ZEROS))
    sql = f"SELECT DISTINCT cosine, dot FROM top_tokens WHERE token_id IN ({marks})"
    assert everything.rows(sql, *ZEROS) == [(0, 0)]
    assert_all_lists_right(twins, 200)
    assert_moments_right(twins)


@pytest.fixture(scope="module")
def hollow() -> Subject:
    """Neurons 0, 1, 2 of layer 0 lack gate, in, out."""
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(random_model("mistral"))
    parts = model.model.layers[0].mlp
    with torch.no_grad():
        parts.gate_proj.weight[0] = 0
        parts.up_proj.weight[1] = 0
        parts.down_proj.weight[:, 2] = 0
    return vocabulary_of(save(model))


def test_a_zero_vector_has_no_tokens_and_null_moments(hollow: Subject) -> None:
    for neuron, lacking in enumerate(VECTORS):
        listed = hollow.rows(
            "SELECT DISTINCT vector FROM top_tokens JOIN neurons USING (neuron_id)"
            " WHERE layer = 0 AND neuron = ?",
            neuron,
        )
        assert {vector for (vector,) in listed} == {*VECTORS} - {lacking}
        columns = "r.mean, r.variance, r.skewness, r.kurtosis"
        stats = hollow.grid(columns, "vocab_stats", f"vector = '{lacking}'")[0]
        assert np.isnan(stats[neuron]).all()
        assert not np.isnan(np.delete(stats, neuron, axis=0)).any()


def test_an_in_vector_of_zeros_decodes_to_no_token(hollow: Subject) -> None:
    decoded = hollow.rows(
        "SELECT neuron, side FROM lm_head_tokens JOIN neurons USING (neuron_id)"
        " WHERE layer = 0 AND neuron < 3 ORDER BY neuron, side DESC"
    )
    assert decoded == [(0, 1), (0, -1), (2, 1), (2, -1)]


FAR_TWINS = (11, 4095, 20_000, 39_999)
FAR_OPPOSITES = (7, 8191, 16_384)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """A vocabulary of several tiles; equal rows far apart are what neuron 3 writes, or removes."""
    shape = {**GROUPED, "vocab_size": 40_000, "intermediate_size": 12, "num_hidden_layers": 1}
    directory = build("llama", shape, tmp_path_factory.mktemp("large"))
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(directory)
    with torch.no_grad():
        written = model.model.layers[0].mlp.down_proj.weight[:, 3].clone()
        rows = model.get_output_embeddings().weight
        rows[list(FAR_TWINS)] = written
        rows[list(FAR_OPPOSITES)] = -written
    saved = save(model)
    for name in TOKENIZER_FILES:  # every row is to be a token
        (saved / name).unlink(missing_ok=True)
    return vocabulary_of(saved)


def test_a_vocabulary_of_many_tiles_is_searched_as_one(large: Subject) -> None:
    assert_all_lists_right(large, 16)
    assert_moments_right(large)
    assert_lm_head_right(large)


def test_equal_rows_of_different_tiles_stand_in_the_order_of_their_ids(large: Subject) -> None:
    ends = [stored_lists(large, 0, "out", "unembed", end).token_ids[3] for end in DIRECTIONS]
    for twins in (FAR_TWINS, FAR_OPPOSITES):
        found = [[token for token in ids.tolist() if token in twins] for ids in ends]
        assert sorted(found) == [[], list(twins)]


# --- moments ------------------------------------------------------------------------------


def expected_moments(vectors: Array, unembed: Array) -> Array:
    """Neurons × mean, variance, skewness, kurtosis and the variance of the dot product."""
    scores, dots = token_scores(vectors, unembed), vectors @ unembed.T
    return np.stack([*moments(scores, axis=1), dots.var(1)], axis=1)


def assert_moments_right(model: Subject) -> None:
    columns = "r.mean, r.variance, r.skewness, r.kurtosis, r.dot_variance"
    for name in vectors_of(model.reference.layers[0]):
        stored = model.grid(columns, "vocab_stats", f"vector = '{name}'")
        for layer, found in zip(model.reference.layers, stored, strict=True):
            expected = expected_moments(vectors_of(layer)[name], model.reference.unembed)
            np.testing.assert_allclose(found[:, 0], expected[:, 0], atol=1e-7, rtol=1e-6)
            np.testing.assert_allclose(found[:, (1, 4)], expected[:, (1, 4)], rtol=2e-6)
            np.testing.assert_allclose(found[:, 2:4], expected[:, 2:4], atol=1e-5, rtol=1e-5)


def test_every_moment_over_the_vocabulary_equals_the_float64_reference(model: Subject) -> None:
    assert_moments_right(model)


# --- LM-head decoding ---------------------------------------------------------------------


def assert_lm_head_right(model: Subject) -> None:
    """Both sides of gated neurons, in the checkpoint's sign; +in alone of ungated ones."""
    gated = model.reference.raw_layers[0].gate is not None
    stored = model.rows("SELECT DISTINCT side FROM lm_head_tokens ORDER BY side DESC")
    assert stored == ([(1,), (-1,)] if gated else [(1,)])
    for (side,) in stored:
        assert_side_right(model, side)


def assert_side_right(model: Subject, side: int) -> None:
    columns = "token_id, probability, normalised"
    stored = model.grid(columns, "lm_head_tokens", f"side = {side}")
    unembed = model.reference.raw_unembed
    for layer, found in zip(model.reference.raw_layers, stored, strict=True):
        probabilities, typical = lm_head(unembed, side * layer.read)
        places = np.searchsorted(model.reference.token_ids, found[:, 0])
        chosen = probabilities[np.arange(len(found)), places]
        np.testing.assert_allclose(chosen, probabilities.max(1), rtol=1e-6)
        np.testing.assert_allclose(found[:, 1], probabilities.max(1), rtol=1e-5)
        np.testing.assert_allclose(found[:, 2], probabilities.max(1) / typical, rtol=1e-5)


def test_the_lm_head_decodes_the_unprocessed_in_with_the_unprocessed_unembedding(
    model: Subject,
) -> None:
    assert_lm_head_right(model)


# --- rows that no token has ---------------------------------------------------------------


@pytest.mark.parametrize("token_ids", [AT_THE_END, WITH_HOLES])
@pytest.mark.parametrize("family", ["mistral", "qwen2", "gpt2", "gpt_neox"])
def test_a_padded_vocabulary_is_that_of_its_tokens(family: str, token_ids: tuple[int, ...]) -> None:
    model = vocabulary_of(padded(fresh("padded"), family, token_ids))
    assert tuple(model.reference.token_ids) == token_ids
    assert_all_lists_right(model, 16)
    assert_moments_right(model)
    assert_lm_head_right(model)


# --- tokens -------------------------------------------------------------------------------


def token_table(model: Subject) -> dict[int, tuple[str, str]]:
    rows = model.rows("SELECT token_id, token, piece FROM tokens ORDER BY token_id")
    return {token_id: (token, piece) for token_id, token, piece in rows}


@pytest.fixture(scope="module")
def byte_level() -> Subject:
    directory = Path(
        shutil.copytree(random_model("mistral"), fresh("byte-level"), dirs_exist_ok=True)
    )
    write_byte_level_tokenizer(directory)
    return dataclasses.replace(subject("mistral"), request=vocabulary_of(directory).request)


def assert_tokens_spell(model: Subject) -> None:
    """Every text, cut into tokens and joined again; a first space may be the tokenizer's."""
    tokens = token_table(model)
    for text, ids in zip(model.texts, model.ids(), strict=True):
        joined = spelled_out("".join(tokens[token_id][0] for token_id in ids[1:]))
        assert joined in (text, f" {text}")


def test_the_tokens_of_a_text_join_to_the_text() -> None:
    assert_tokens_spell(subject("llama"))


def test_the_stories_join_from_their_tokens() -> None:
    stories = subject(BUNDLED)
    assert_tokens_spell(dataclasses.replace(stories, max_len=10_000))


def test_byte_level_tokens_join_to_the_text(byte_level: Subject) -> None:
    assert_tokens_spell(byte_level)


def test_every_piece_is_the_spelling_of_the_tokenizer(byte_level: Subject) -> None:
    for model in (subject("llama"), byte_level):
        tokenizer = Tokenizer.from_file(str(model.directory / "tokenizer.json"))
        pieces = {token_id: piece for token_id, (_, piece) in token_table(model).items()}
        spelled = {i: tokenizer.id_to_token(i) for i in range(512)}
        assert pieces == {i: piece for i, piece in spelled.items() if piece is not None}
