"""Which texts a run looks at: all, or those of its shard; the dataset stays whole."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.checkpoint import Checkpoint
from ingest.corpus import Corpus, read_corpus, shard_ordinals
from ingest.session import chosen_layers
from ingest.tokenizer import Tokenizer
from neurondb.errors import IngestError, TextError
from neurondb.jobs import IngestRequest
from tests.support.tiny_model import TEXTS, tiny_model, write_texts


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> IngestRequest:
    directory = tmp_path_factory.mktemp("corpus")
    texts = write_texts(directory / "texts.txt")
    return IngestRequest(model=str(tiny_model(directory / "tiny")), dataset=str(texts))


def read(request: IngestRequest) -> Corpus:
    directory = Path(request.model)
    return read_corpus(request, Tokenizer(directory), Checkpoint.open(directory).architecture)


@given(st.integers(1, 300), st.data())
def test_shards_partition_the_texts(n_texts: int, data: st.DataObject) -> None:
    n_shards = data.draw(st.integers(1, n_texts))
    shards = [shard_ordinals(n_texts, (n, n_shards)) for n in range(1, n_shards + 1)]
    assert sorted(np.concatenate(shards).tolist()) == list(range(n_texts))
    for number, ordinals in enumerate(shards, start=1):
        assert (ordinals % n_shards == number - 1).all()
        assert (np.diff(ordinals) > 0).all()
    sizes = [len(ordinals) for ordinals in shards]
    assert max(sizes) - min(sizes) <= 1


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
    assert shard.ordinals.tolist() == list(range(1, len(whole.dataset.texts), 2))


def test_an_empty_shard_is_refused(request_: IngestRequest) -> None:
    n = len(TEXTS)
    assert read(replace(request_, shard=(n, n))).ordinals.tolist() == [n - 1]
    assert read(replace(request_, shard=(n, n + 1))).ordinals.tolist() == [n - 1]
    with pytest.raises(TextError, match=rf"shard {n + 1}/{n + 1} is empty: .* {n} texts"):
        read(replace(request_, shard=(n + 1, n + 1)))


def test_layers_count_from_either_end() -> None:
    assert chosen_layers(None, 3) == (0, 1, 2)
    assert chosen_layers((-1, 0, 7, 0), 8) == (0, 7)
    assert chosen_layers((0, -12), 12) == (0,)


@pytest.mark.parametrize("layer", [12, -13])
def test_a_layer_that_the_model_lacks_is_refused(layer: int) -> None:
    with pytest.raises(IngestError, match=f"no layer {layer}; the model has 12: 0 to 11"):
        chosen_layers((3, layer), 12)
