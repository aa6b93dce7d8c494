"""Which texts a run looks at: all, or those of its shard; the dataset stays whole."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ingest.checkpoint.reader import Checkpoint
from ingest.forward import make_batches, pack_texts
from ingest.stages.session import choose_layers
from ingest.text.batch_division import choose_shard_batches, divide_batches
from ingest.text.corpus import Corpus, read_corpus
from ingest.text.tokenizer import Tokenizer
from neurondb.contracts.ingest import IngestRequest
from neurondb.errors import IngestError, TextError
from tests.support.tiny_model import TEXTS, tiny_model, write_texts


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> IngestRequest:
    directory = tmp_path_factory.mktemp("corpus")
    texts = write_texts(directory / "texts.txt")
    return IngestRequest(model=str(tiny_model(directory / "tiny")), dataset=str(texts))


def read(request: IngestRequest, batch: int = 1) -> Corpus:
    """Read with batches of this many places; of one, each text is a batch of its own."""
    directory = Path(request.model)
    architecture = Checkpoint.open(directory).architecture
    return read_corpus(request, Tokenizer(directory), architecture, batch)


LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=60)
SHORT = st.none() | st.integers(0, 45)


@given(LENGTHS, st.integers(1, 200), SHORT, st.data())
def test_shards_are_batches_of_one_run_one_after_another(
    lengths: list[int], max_tokens: int, short: int | None, data: st.DataObject
) -> None:
    whole = pack_texts(lengths, max_tokens, short)
    places = [len(batch) * max(lengths[text] for text in batch) for batch in whole]
    n_shards = data.draw(st.integers(1, len(whole)))
    shards = [choose_shard_batches(places, (number, n_shards)) for number in range(1, n_shards + 1)]
    assert all(shards)
    assert [batch for shard in shards for batch in shard] == list(range(len(whole)))
    for shard in shards:
        texts = np.sort(np.concatenate([whole[batch] for batch in shard]))
        packed = pack_texts([lengths[text] for text in texts], max_tokens, short)
        expected = [whole[batch].tolist() for batch in shard]
        assert [texts[batch].tolist() for batch in packed] == expected


@given(st.lists(st.integers(1, 2048), min_size=20, max_size=200), st.integers(1, 10), st.data())
def test_shards_have_equally_many_places_but_for_a_batch(
    places: list[int], n_shards: int, data: st.DataObject
) -> None:
    shard = choose_shard_batches(places, (data.draw(st.integers(1, n_shards)), n_shards))
    fair = sum(places) / n_shards
    if fair > max(places):  # else each shard's having a batch goes before
        assert abs(sum(places[batch] for batch in shard) - fair) <= max(places)


@given(LENGTHS, st.integers(1, 200), SHORT)
def test_batches_hold_every_text_once_and_keep_to_their_places(
    lengths: list[int], max_tokens: int, short: int | None
) -> None:
    packed = pack_texts(lengths, max_tokens, short)
    assert sorted(np.concatenate(packed).tolist()) == list(range(len(lengths)))
    if short is not None:
        assert all(len({lengths[text] > short for text in batch}) == 1 for batch in packed)
    for batch in packed:
        assert len(batch) == 1 or len(batch) * max(lengths[text] for text in batch) <= max_tokens


@given(LENGTHS, st.integers(1, 200), SHORT, st.integers(1, 9))
def test_parts_are_all_batches_in_their_order(
    lengths: list[int], max_tokens: int, short: int | None, n_parts: int
) -> None:
    texts = [np.full(length, 3) for length in lengths]
    made = list(make_batches(texts, torch.device("cpu"), max_tokens, short_context=short))
    parts = divide_batches(texts, max_tokens, short, n_parts)
    assert [number for part in parts for number in part] == [batch.number for batch in made]
    assert len(parts) == min(n_parts, len(made))


def test_without_a_shard_all_texts_are_looked_at(request_: IngestRequest) -> None:
    corpus = read(request_)
    assert corpus.ordinals.tolist() == list(range(len(TEXTS)))
    assert corpus.ordinals.dtype == np.int64


@pytest.mark.parametrize("max_tokens", [None, 60])
def test_every_shard_has_the_whole_dataset(request_: IngestRequest, max_tokens: int | None) -> None:
    request = replace(request_, max_tokens=max_tokens)
    whole, shard = read(request), read(replace(request, shard=(2, 2)))
    assert shard.dataset == whole.dataset
    assert len(shard.tokenization.token_ids) == len(whole.dataset.texts)
    assert shard.tokenization.n_tokens == whole.tokenization.n_tokens
    other = read(replace(request, shard=(1, 2)))
    both = np.concatenate([shard.ordinals, other.ordinals])
    assert sorted(both.tolist()) == list(range(len(whole.dataset.texts)))


def test_an_empty_shard_is_refused(request_: IngestRequest) -> None:
    n = len(TEXTS)
    assert len(read(replace(request_, shard=(n, n))).ordinals) == 1
    with pytest.raises(TextError, match=rf"shard 1/{n + 1}: .* {n} batches"):
        read(replace(request_, shard=(1, n + 1)))  # which could never be merged
    said = rf"\b{n + 1}/{n + 1}\b.* {n}\b"
    with pytest.raises(TextError, match=said):
        read(replace(request_, shard=(n + 1, n + 1)))
    with pytest.raises(TextError, match=r"\b2/2\b.* 1\b"):
        read(replace(request_, shard=(2, 2)), batch=100_000)


def test_layers_count_from_either_end() -> None:
    assert choose_layers(None, 3) == (0, 1, 2)
    assert choose_layers((-1, 0, 7, 0), 8) == (0, 7)
    assert choose_layers((0, -12), 12) == (0,)


@pytest.mark.parametrize("layer", [12, -13])
def test_a_layer_that_the_model_lacks_is_refused(layer: int) -> None:
    with pytest.raises(IngestError, match=rf"layer {layer}\b.*\b0 to 11\b"):
        choose_layers((3, layer), 12)
