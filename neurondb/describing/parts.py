"""The parts of a description: what stands out of a neuron, how much, and how that is said.

Every number in a part is one that a page of the neuron shows: shares of its strongest texts,
cosines without the leading 0, effects in standard deviations. Promoted and suppressed is meant
where hook_post has the sign that its strongest value has; a minus in parentheses says that this is
the negative one.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from neurondb.describing.evidence import Evidence, Family, Firing, Tokens
from neurondb.formatting.text import SPACE

LEAST_BALANCE: Final = 0.4
"""The other sign of hook_post is described too where it comes so close to the largest value."""
RARELY: Final = 0.001
MOSTLY: Final = 0.9
_EFFECT_WEIGHT: Final = 1 / 8
_SURPRISE_WEIGHT: Final = 1 / 40


class Part(NamedTuple):
    """A part of a description.

    Attributes:
        strength: how telling it is; from 0, and above 1 where it is striking.
        wordings: the same at length, and shorter ones for where there is little room.
    """

    strength: float
    wordings: tuple[str, ...]


def list_parts(evidence: Evidence) -> list[Part]:
    """Return what stands out of a neuron, the most telling first."""
    parts = [
        *_describe_firing(evidence),
        *_describe_reading(evidence),
        *_describe_writing(evidence),
        *_describe_class(evidence),
        *_describe_role(evidence),
        *_describe_head(evidence),
    ]
    return sorted(parts, key=lambda part: -part.strength)


def format_number(value: float) -> str:
    """Return a number below 1 in two decimals without the leading 0: `.31`."""
    return f"{value:.2f}".removeprefix("0")


def format_signed_number(value: float) -> str:
    """Return a number between −1 and 1 with its sign: `−.62`."""
    return f"{'−' if value < 0 else '+'}{format_number(abs(value))}"


def describe_frequency(evidence: Evidence) -> str | None:
    """Return on how many tokens a neuron is active; None where that is not known."""
    frequency = evidence.frequency
    if frequency is None:
        return None
    if frequency == 0:
        return "never active"
    digits = 0 if frequency >= 0.1 else 1 if frequency >= 0.01 else 2
    shown = f"{frequency:.{digits}%}"
    return f"active on {'<.01%' if float(shown[:-1]) == 0 else shown}"


def find_main_sign(evidence: Evidence) -> int:
    """Return the sign of hook_post that the description is about first; 0 without activations.

    It is that of the largest |hook_post|, unless the texts of the other sign come close to it and
    have far more in common.
    """
    strengths = {sign: _weigh_firing(evidence, sign) for sign in (evidence.sign, -evidence.sign)}
    return max(strengths, key=lambda sign: (strengths[sign], sign == evidence.sign))


def _weigh_firing(evidence: Evidence, sign: int) -> float:
    found = evidence.firing.get(sign)
    if found is None or (sign != evidence.sign and evidence.balance < LEAST_BALANCE):
        return 0.0
    strength = min(found.surprise * _SURPRISE_WEIGHT, 2.5)
    return strength if sign == evidence.sign else strength * evidence.balance * 0.8


def _describe_firing(evidence: Evidence) -> Iterator[Part]:
    """Yield what the strongest texts share, of the main sign of hook_post and of the other.

    The test of tokens that explains the most variance of hook_post (METHODS §9) stands beside,
    or within where it is of the same tokens.
    """
    main, family = find_main_sign(evidence), evidence.family
    apart = family
    for sign, verb in ((main, "fires"), (-main, "also")):
        found, strength = evidence.firing.get(sign), _weigh_firing(evidence, sign)
        if found is None or strength == 0:
            continue
        within = family if family is not None and _is_same(found, sign, family) else None
        if within is not None:
            apart, strength = None, max(strength, _weigh_family(within))
        yield Part(strength, tuple(_word_firing(found, sign, verb, within)))
    if apart is not None:
        minus = "(−) " if apart.sign < 0 else ""
        yield Part(_weigh_family(apart), (f"{minus}{apart.test} {_explain(apart)}",))


def _weigh_family(family: Family) -> float:
    return 0.2 + 2.5 * family.score


def _explain(family: Family) -> str:
    return f"explains {format_number(family.score)}"


def _is_same(found: Firing, sign: int, family: Family) -> bool:
    """Tell whether a test is of the tokens that a neuron's strongest texts share."""
    if found.place != "on" or sign != family.sign:
        return False
    kind, _, word = family.test.partition("word: ")
    if found.is_property:
        return found.words[0] == family.test
    return not kind and word in {one.lstrip(SPACE).casefold() for one in found.words}


def _word_firing(found: Firing, sign: int, verb: str, family: Family | None) -> Iterator[str]:
    minus = " (−)" if sign < 0 else " (+)" if verb == "also" else ""
    for n in range(len(found.words), 0, -1):
        if found.is_property:
            name, *examples = found.words[:n]
            words = f"{name}: {' '.join(examples)}" if examples else name
        else:
            words = " ".join(found.words[:n])
        numbers = f"{found.n_sharing}/{found.n}" + (f", {_explain(family)}" if family else "")
        yield f"{verb}{minus} {found.place} {words} ({numbers})"


def _describe_reading(evidence: Evidence) -> Iterator[Part]:
    """Yield which tokens gate and in look for, where their weights say so."""
    gate = evidence.gate
    other = evidence.in_bottom if find_main_sign(evidence) < 0 else evidence.in_top
    vectors = [("gate", gate), ("in", other)]
    known = [(name, tokens) for name, tokens in vectors if tokens is not None]
    if not known:
        return
    name, best = max(known, key=lambda entry: entry[1].ratio)
    strength = 0.9 * _weigh_tokens(best)
    rest = [f"{other} {format_number(tokens.cosine)}" for other, tokens in known if other != name]
    numbers = ", ".join([f"{name} {format_number(best.cosine)}", *rest])
    yield Part(strength, tuple(f"reads {words} ({numbers})" for words in _shorten(best.tokens)))


def _describe_writing(evidence: Evidence) -> Iterator[Part]:
    """Yield what a neuron promotes and suppresses, where hook_post has the sign of its peak."""
    sign = find_main_sign(evidence) or 1
    ends = {1: evidence.out_top, -1: evidence.out_bottom}
    for direction, verb in ((sign, "promotes"), (-sign, "suppresses")):
        tokens = ends[direction]
        effect = next((e for e in evidence.effects if e.effect * direction > 0), None)
        if tokens is None and effect is None:
            continue
        strength = max(
            0.0 if tokens is None else _weigh_tokens(tokens),
            0.0 if effect is None else effect.size * _EFFECT_WEIGHT,
        )
        named = "" if effect is None else f" {effect.name} ({abs(effect.effect):.1f}σ)"
        if tokens is None:
            yield Part(strength, (f"{verb}{named}",))
        else:
            number = format_number(tokens.cosine)
            shown = [f"{verb}{named} {words} ({number})" for words in _shorten(tokens.tokens)]
            yield Part(strength, tuple(shown))


def _weigh_tokens(tokens: Tokens) -> float:
    return min(tokens.ratio - 0.7, 2.5)


def _shorten(tokens: tuple[str, ...]) -> list[str]:
    """Return some tokens side by side, and then fewer of them."""
    return [" ".join(tokens[:n]) for n in range(len(tokens), 0, -1)]


def _describe_class(evidence: Evidence) -> Iterator[Part]:
    name = evidence.class_name
    if name in (None, "orthogonal output"):
        return
    if name == "undefined":
        yield Part(5.0, ("a weight vector is zero",))
        return
    pair, cosine = "in·out", evidence.in_out
    if "proportional" in str(name):
        pair, cosine = "gate·out", evidence.gate_out
    if cosine is not None:
        strength = abs(cosine) + (0.1 if str(name).startswith("atypical") else 0.0)
        yield Part(strength, (f"{name} ({pair} {format_signed_number(cosine)})",))


def _describe_role(evidence: Evidence) -> Iterator[Part]:
    if evidence.role == "partition" and evidence.variance is not None:
        yield Part(
            0.9, (f"partition neuron (variance {evidence.variance:.4f})".replace("0.", "."),)
        )
    elif evidence.role is not None and evidence.kurtosis is not None:
        strength = 0.5 + min(evidence.kurtosis / 100, 0.5)
        yield Part(strength, (f"{evidence.role} neuron (kurtosis {evidence.kurtosis:.0f})",))


def _describe_head(evidence: Evidence) -> Iterator[Part]:
    head = evidence.head
    if head is not None:
        verb = "turns off" if head.score > 0 else "turns on"
        strength = abs(head.standard_score) / 8
        yield Part(strength, (f"{verb} head {head.name} ({abs(head.standard_score):.1f} sd)",))
