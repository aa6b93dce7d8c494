"""Texts drawn at random over a whole dataset, until they have as many tokens as are wanted.

weakening-neurons §4 runs on a random subset of 20 million tokens of Dolma; gluscope §4.1 says how
it was drawn: whole texts, cut at 1,024 tokens, the prefix token counted towards both limits, and
20 million tokens or somewhat more overall, as the last text is taken whole.

Every text has a random key, which depends on the seed and its place in the dataset alone. The
sample is the texts of smallest keys, as many as it takes, in the dataset's order. So each text is
as likely to be in it as any other, every machine draws the same, and a larger sample of the same
seed contains a smaller one.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import islice
from typing import Final, NamedTuple

import numpy as np

from ingest.text.rows import LabelledText

BLOCK: Final = 1_024
"""Texts whose tokens are counted at a time; which texts are drawn does not depend on it."""
TELL_EVERY_S: Final = 30.0

CountTokens = Callable[[Sequence[str]], Sequence[int]]
"""Texts → how many tokens each of them has, cut at the length that the model reads."""
Tell = Callable[[str], None]
"""What is told, now and then, how far the reading is."""


class SampleRequest(NamedTuple):
    """How many tokens to draw, and the seed of the draw."""

    n_tokens: int
    seed: int


class Draw(NamedTuple):
    """What was drawn.

    Attributes:
        texts: the texts in the order of the dataset.
        n_tokens: how many tokens they have.
        n_source_texts: how many texts the dataset has.
    """

    texts: list[LabelledText]
    n_tokens: int
    n_source_texts: int


class _Drawn(NamedTuple):
    """A text of the sample so far; of a heap of them the first is the first to leave it."""

    negative_key: int
    negative_ordinal: int
    n_tokens: int
    text: LabelledText


def draw_texts(
    texts: Iterable[LabelledText],
    request: SampleRequest,
    count_tokens: CountTokens,
    tell: Tell = lambda _: None,
) -> Draw:
    """Draw a sample of texts that are read once, one after the other.

    No more than the sample is held in memory. A text whose key is larger than all those of a
    sample that has its tokens cannot be in it any more: its own are not even counted.

    Args:
        texts: all texts of the dataset, stripped and not empty.
        request: how many tokens the sample is to have at least, and the seed.
        count_tokens: counts the tokens of some texts.
        tell: is told how many texts were read, every half a minute.
    """
    sample: list[_Drawn] = []
    n_tokens = n_read = 0
    told = time.monotonic()
    for block in _read_blocks(texts, request.seed):
        n_read += len(block)
        complete = n_tokens >= request.n_tokens
        near = [drawn for drawn in block if drawn > sample[0]] if complete else block
        counts = count_tokens([drawn.text.text for drawn in near]) if near else ()
        for drawn, count in zip(near, counts, strict=True):
            heappush(sample, drawn._replace(n_tokens=count))
            n_tokens += count
            while n_tokens - sample[0].n_tokens >= request.n_tokens:
                n_tokens -= heappop(sample).n_tokens
        if time.monotonic() - told > TELL_EVERY_S:
            told = time.monotonic()
            tell(f"drawing texts: {n_read:,} read so far")
    sample.sort(key=lambda drawn: -drawn.negative_ordinal)
    return Draw([drawn.text for drawn in sample], n_tokens, n_read)


def _read_blocks(texts: Iterable[LabelledText], seed: int) -> Iterator[list[_Drawn]]:
    """Yield some texts at a time, each with its key: 64 bits of the stream of Philox."""
    stream, unread, ordinal = np.random.Philox(key=seed), iter(texts), 0
    while block := list(islice(unread, BLOCK)):
        keys = stream.random_raw(len(block)).tolist()
        yield [
            _Drawn(-key, -place, 0, text)
            for place, (key, text) in enumerate(zip(keys, block, strict=True), start=ordinal)
        ]
        ordinal += len(block)
