"""A dataset as one model reads it: its texts and their token ids, checked before work begins."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ingest.checkpoint.reader import Architecture
from ingest.forward import pack_texts
from ingest.text.batch_division import choose_shard_batches, count_places
from ingest.text.datasets import read_dataset, read_sample, take_first_texts
from ingest.text.sampling import SampleRequest, Tell
from ingest.text.tokenizer import Tokenizer, tokenize
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.texts import DatasetRecord, TextSample, TokenizationRecord
from neurondb.errors import TextError
from neurondb.spelling import option


@dataclass(frozen=True)
class Corpus:
    """Texts and their token ids, always all of them, and which of them this run looks at."""

    dataset: DatasetRecord
    tokenization: TokenizationRecord
    ordinals: NDArray[np.int64]
    """Places in `dataset.texts`, ascending: all, or those of the run's shard."""
    first_batch: int
    """The number of their first batch among the dataset's."""


def read_corpus(
    request: IngestRequest,
    tokenizer: Tokenizer,
    architecture: Architecture,
    max_tokens: int,
    tell: Tell = lambda _: None,
) -> Corpus:
    """Read and tokenise the dataset of a request, as much of it as was asked for.

    Args:
        request: names the dataset, and the shard of it that is wanted.
        tokenizer: the model's.
        architecture: the model's.
        max_tokens: tokens of a batch, padding included; shards are cut between batches.
        tell: is told how far the drawing of texts is, now and then.

    Raises:
        TextError: when it holds nothing to count, nothing for the run's shard, or token ids that
            the model has no rows for.
    """
    assert request.dataset is not None
    max_len = min(request.max_len, architecture.context or request.max_len)
    if request.sample_tokens is None:
        dataset = read_dataset(request.dataset, request.max_texts, request.label_field)
    else:
        sample = SampleRequest(request.sample_tokens, request.seed)
        count_tokens = partial(tokenizer.count_tokens, max_len=max_len)
        dataset = read_sample(request.dataset, sample, count_tokens, request.label_field, tell)
    tokenization = tokenize(tokenizer, dataset, max_len, skip_bos=request.skip_bos)
    _check_ids(tokenization, architecture)
    if request.max_tokens is not None:
        dataset = _first_tokens(dataset, tokenization, request.max_tokens)
        tokenization = tokenize(tokenizer, dataset, max_len, skip_bos=request.skip_bos)
    lengths = [len(ids) for ids in tokenization.token_ids]
    packed = pack_texts(lengths, max_tokens, architecture.short_context)
    chosen = choose_shard_batches(count_places(lengths, packed), request.shard)
    ordinals = np.sort(np.concatenate(packed[chosen.start : chosen.stop]))
    return Corpus(dataset, tokenization, ordinals, chosen.start)


def list_remarks(dataset: DatasetRecord, tokenizer: Tokenizer) -> Iterator[str]:
    """Yield a line on each thing that is not as one expects it of texts and their tokens."""
    if dataset.n_null:
        yield f"{dataset.source}: rows without a text (null), left out: {dataset.n_null:,}"
    if dataset.sample is not None:
        yield _describe_sample(dataset.sample)
    if tokenizer.prefix_token_id is None:
        yield (
            "no token is put in front of the texts: neither the tokenizer's files nor config.json "
            "name a BOS or EOS that is a special token of the vocabulary"
        )


def _describe_sample(sample: TextSample) -> str:
    if sample.n_tokens < sample.requested:
        return (
            f"drew all {sample.n_source_texts:,} texts: their {sample.n_tokens:,} tokens are fewer "
            f"than {option('sample_tokens')} {sample.requested:,}"
        )
    return (
        f"drew {sample.n_texts:,} of {sample.n_source_texts:,} texts, {sample.n_tokens:,} tokens "
        f"({option('seed')} {sample.seed})"
    )


def _first_tokens(
    dataset: DatasetRecord, tokenization: TokenizationRecord, max_tokens: int
) -> DatasetRecord:
    lengths = [len(ids) for ids in tokenization.token_ids]
    n_texts = int(np.searchsorted(np.cumsum(lengths), max_tokens, side="right"))
    if n_texts == 0:
        raise TextError(
            f"the first text has {lengths[0]} tokens, more than {option('max_tokens')} {max_tokens}"
        )
    return take_first_texts(dataset, n_texts)


def _check_ids(tokenization: TokenizationRecord, architecture: Architecture) -> None:
    largest = max(int(ids.max()) for ids in tokenization.token_ids if len(ids))
    if largest >= architecture.d_vocab:
        raise TextError(
            f"the tokenizer gives token {largest}, the model has only {architecture.d_vocab} "
            "rows for tokens; the tokenizer does not belong to this model"
        )
