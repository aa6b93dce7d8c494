"""How far a figure may lie from the published one and still be the same, and why.

**Weights.** The published cosines were computed in float32: Table 2 has four digits that no
bfloat16 or float16 has. What can differ is the checkpoint: a repository's float32 or float16
weights saved again in bfloat16, or the other way round. That rounds every weight by a relative
error of at most 2⁻⁹, spread evenly: r = 2⁻⁹/√3. A cosine c of two vectors of d such weights then
moves by a standard deviation of r·√(2(1 + 2c²)/d), for weights that spread as a Gaussian; four of
these, at c = .5, is `allow_for_rounding`: 1.7e-4 at d = 2,048. A GGUF model of b bits a weight has
r ≈ .083·2^(4−b) (blocks of 32 Gaussian weights over 15 steps), and its vectors, longer by the
noise, lose r² of a cosine.

**Classes.** Thresholds are strict, so a neuron whose cosine is that near τ may be on either side.
Each class of a layer has the neurons that are certainly in it and those that might be; a count
agrees that lies between. No count is given away otherwise: in a layer without such neurons the
published number has to be met exactly.

**Revisions.** The tables name no revision of a checkpoint. A repository whose weights were replaced
has another model in it, by an amount that nothing bounds: the comparison is to show that, and no
allowance is made for it.

**Texts.** Frequencies and activations depend on the texts. The papers' are 20 million tokens of
Dolma. On these (a dataset with `dolma` in its name) the tokens drawn, and a forward pass in
bfloat16, are what differs; on any other text the figure itself does. Two sets of texts drawn from
one sampler, of 2,500 and 39,663 tokens, had layer means up to .013 apart, and correlations up to
.02 (docs/real-models.md); other kinds of text are allowed four times as much in a mean, .05. That
still tells apart what the papers tell apart: a class and its baseline are .1 to .4 from each other.
"""

import math
import re
from typing import Final, NamedTuple

HALF_PRECISION: Final = 2**-9 / math.sqrt(3)
"""Standard deviation of a weight's relative error in bfloat16; in float16 it is an eighth."""

_FOUR_BITS: Final = 0.083
_BITS: Final = re.compile(r"I?Q(\d)")
_DEVIATIONS: Final = 4
"""Standard deviations that are allowed for: 1 of 16,000 neurons near τ lies beyond them."""


class Texts(NamedTuple):
    """What figures of activations may differ by, by which texts they are from.

    Attributes:
        name: the dataset's name.
        n_tokens: how many tokens of it were counted; 0 where that is not known.
        frequency: of a mean frequency.
        correlation: of a correlation over a layer's neurons.
        neuron: of one neuron's share p of tokens, in units of √(p(1 − p)).
        relative: of a mean activation, in relation to it.
        extreme: of a greatest or smallest activation, in relation to it; None where the texts are
            too few to have one, as the extremes of 20 million tokens are rare.
    """

    name: str
    n_tokens: int
    frequency: float
    correlation: float
    neuron: float
    relative: float
    extreme: float | None


PAPER_TEXTS: Final = "dolma"
ENOUGH_TOKENS: Final = 10_000_000
"""Tokens from which extremes are compared: half as many as in the papers."""


NARROWEST: Final = 512
"""A width that no model of the papers is below."""


def allow_for_texts(name: str, n_tokens: int) -> Texts:
    """Return what is allowed for the texts of a dataset."""
    enough = n_tokens >= ENOUGH_TOKENS
    if PAPER_TEXTS in name.lower() and enough:
        return Texts(name, n_tokens, 0.01, 0.02, 0.02, 0.05, 0.05)
    return Texts(name, n_tokens, 0.05, 0.08, 0.2, 0.25, 0.3 if enough else None)


def read_weight_noise(quantisation: str | None) -> float:
    """Return the relative error of a stored model's weights, of a GGUF file by its bits."""
    bits = _BITS.match(quantisation or "")
    return HALF_PRECISION if bits is None else _FOUR_BITS * 2.0 ** (4 - int(bits[1]))


def allow_for_rounding(d_model: int, quantisation: str | None = None) -> float:
    """Return how far a cosine near ±.5 may move when weights are rounded.

    The narrower the model, the farther; one known from imports, of width 0, may be any.
    """
    noise = read_weight_noise(quantisation)
    return _DEVIATIONS * noise * math.sqrt(3 / (d_model or NARROWEST)) + noise**2
