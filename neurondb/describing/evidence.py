"""What is known of one neuron, as its description is composed of it: plain numbers and texts."""

from dataclasses import dataclass, field
from typing import NamedTuple


class Tokens(NamedTuple):
    """The first tokens at one end of a token list that stand out.

    Attributes:
        cosine: |cos| of the first of them with the vector.
        ratio: that cosine ÷ the one that chance seldom exceeds.
    """

    tokens: tuple[str, ...]
    cosine: float
    ratio: float


class Effect(NamedTuple):
    """A property whose tokens a neuron promotes (above 0) or suppresses.

    Attributes:
        effect: difference of means in standard deviations of the neuron's effects.
        size: |effect| in standard deviations over neurons of the same property.
    """

    name: str
    effect: float
    size: float


class Firing(NamedTuple):
    """What the strongest texts of one sign of hook_post have in common.

    Attributes:
        place: `on`, `after` or `before`: where what they share stands, seen from the peak.
        words: tokens or the name of a property.
        n_sharing: how many of the texts share it.
        n: how many texts there are.
        surprise: nats by which that exceeds chance.
        is_property: whether `words` begins with the name of a property of tokens.
    """

    place: str
    words: tuple[str, ...]
    n_sharing: int
    n: int
    surprise: float
    is_property: bool = False


class Family(NamedTuple):
    """The test that explains most of a neuron's activation, and the share it explains."""

    test: str
    score: float
    sign: int


class Head(NamedTuple):
    """The head that a neuron turns off (`score` above 0) or on the most, and its standard score."""

    name: str
    score: float
    standard_score: float


@dataclass
class Evidence:
    """All that a description may be composed of; what is not stored, or not out of chance, is None.

    Attributes:
        gated: whether the neuron has a gate.
        class_name: its read-write class; None before the weights.
        gate_out: cos(gate, out); likewise `in_out`.
        role: prediction, suppression or partition; None where it has none.
        kurtosis: of cos(U, out), which the role follows from; likewise `variance`.
        frequency: share of tokens with x_gate > 0 (ungated: hook_post > 0).
        sign: sign of hook_post where it is largest in absolute value; 0 without activations.
        balance: the largest |hook_post| of the other sign ÷ the largest of all.
        firing: by sign of hook_post, what its strongest texts have in common.
        gate: tokens at the top of `gate`.
        in_top: tokens at the top of `in`; `in_bottom` those at its other end.
        out_top: tokens at the top of `out`, which a positive hook_post promotes.
        out_bottom: tokens at its bottom.
        effects: properties with the strongest effects, in the direction of +out.
        family: the best test of the tokens, if family scores are stored.
        head: the head that it turns off or on the most, if scores are stored.
    """

    gated: bool = True
    class_name: str | None = None
    gate_out: float | None = None
    in_out: float | None = None
    role: str | None = None
    kurtosis: float | None = None
    variance: float | None = None
    frequency: float | None = None
    sign: int = 0
    balance: float = 0.0
    firing: dict[int, Firing] = field(default_factory=dict)
    gate: Tokens | None = None
    in_top: Tokens | None = None
    in_bottom: Tokens | None = None
    out_top: Tokens | None = None
    out_bottom: Tokens | None = None
    effects: tuple[Effect, ...] = ()
    family: Family | None = None
    head: Head | None = None
