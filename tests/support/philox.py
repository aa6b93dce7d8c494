"""Philox4x64-10 (Salmon et al. 2011) in Python's integers, which draws of texts are compared with.

The multipliers and the Weyl constants are those of the paper's Table 2; `tests/ingest/text` checks
this generator by the known answers that the authors publish with Random123.
"""

from itertools import count, islice
from typing import Final

_MULTIPLIERS: Final = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL: Final = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_MASK: Final = 2**64 - 1
_ROUNDS: Final = 10


def encrypt_block(counter: int, key: int) -> tuple[int, int, int, int]:
    """Return the four words that the 256-bit `counter` becomes under the 128-bit `key`."""
    a, b, c, d = ((counter >> (64 * i)) & _MASK for i in range(4))
    keys = [key & _MASK, key >> 64]
    for _ in range(_ROUNDS):
        first, second = _MULTIPLIERS[0] * a, _MULTIPLIERS[1] * c
        a, b, c, d = (
            (second >> 64) ^ b ^ keys[0],
            second & _MASK,
            (first >> 64) ^ d ^ keys[1],
            first & _MASK,
        )
        keys = [(k + w) & _MASK for k, w in zip(keys, _WEYL, strict=True)]
    return a, b, c, d


def draw_keys(seed: int, n: int) -> list[int]:
    """Return the first words of the stream of a seed; numpy's counter begins at 1."""
    words = (word for block in count(1) for word in encrypt_block(block, seed))
    return list(islice(words, n))
