"""The corpus of the little world: seeded texts for training, other texts held out.

    python -m tools.tinyworld.world --seed 0 --texts 8000 > corpus.txt

The facts are the same whatever the seed (`tools.tinyworld.atlas`, `tools.tinyworld.relations`);
the seed varies who is written about and how. Held-out texts are those whose checksum falls into
one class in sixteen, which training texts never do: no number of texts and no choice of seeds can
make the two overlap.
"""

import argparse
import sys
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from random import Random

from ingest.bundled.tinyworld import join_texts
from tools.tinyworld.lessons import teach
from tools.tinyworld.lexicon import LEXICON
from tools.tinyworld.page import Page
from tools.tinyworld.phrases import PHRASES
from tools.tinyworld.records import note
from tools.tinyworld.relations import facts
from tools.tinyworld.stories import tell

__all__ = ["facts", "heldout", "texts"]

HELDOUT_SEED = 1_000_003
MIN_WORDS, MAX_WORDS = 40, 160

_CLASSES = LEXICON | PHRASES
# Most texts are prose, nearly as many teach facts, fewer are records.
_WRITERS: tuple[Callable[[Page], str], ...] = (*[tell] * 5, *[teach] * 4, *[note] * 2)
_HELDOUT_SHARE = 16


def _is_heldout(text: str) -> bool:
    return zlib.crc32(text.encode()) % _HELDOUT_SHARE == 0


def _stream(seed: int, *, held_out: bool) -> Iterator[str]:
    """Yield texts of the wanted length and side of the split for ever."""
    rng = Random(seed)  # noqa: S311  -- varied texts, not secrets
    while True:
        text = rng.choice(_WRITERS)(Page(rng, _CLASSES))
        if MIN_WORDS <= len(text.split()) <= MAX_WORDS and _is_heldout(text) == held_out:
            yield text


def texts(seed: int, n: int) -> Iterator[str]:
    """Yield `n` training texts of 40 to 160 words; the same for the same seed, everywhere."""
    return islice(_stream(seed, held_out=False), n)


def heldout(n: int, seed: int = HELDOUT_SEED) -> Iterator[str]:
    """Yield `n` texts that no call of `texts` ever yields."""
    return islice(_stream(seed, held_out=True), n)


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.tinyworld.world", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--texts", type=int, default=8000)
    arguments = parser.parse_args()
    sys.stdout.write(join_texts(texts(arguments.seed, arguments.texts)))


if __name__ == "__main__":
    _main()
