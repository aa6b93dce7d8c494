"""What a case study says of a neuron in tokens: lists, moments, role, decoding, properties."""

from collections.abc import Iterator, Sequence
from typing import Final

from neurondb.documents.case_parts import format_number, make_columns, show_scored_token, show_token
from neurondb.documents.markup import Block, Heading, Paragraph, Table, Text, join_texts
from neurondb.formatting.numbers import MISSING, format_compact, format_count, format_signed
from neurondb.formatting.text import format_side
from neurondb.reading.case_study import CaseStudy
from neurondb.reading.vocabulary import (
    DoubleChecking,
    LmHeadToken,
    PropertyEffect,
    TokenList,
    VocabMoments,
    Vocabulary,
)
from neurondb.schema.codes import DIRECTIONS
from neurondb.schema.views import PARTITION_VARIANCE, ROLE_KURTOSIS

PROPERTIES_SHOWN: Final = 5
"""How many properties are shown on each side."""
_SIDES: Final = {"top": "pos", "bottom": "neg"}


def write_vocabulary(study: CaseStudy) -> Iterator[Block]:
    """Yield the tokens of every vector in both bases, and what follows from its vocabulary."""
    if not study.vocabularies:
        return
    yield Heading("Vocabulary", 3)
    for vocabulary in study.vocabularies:
        if vocabulary.lists:
            yield _make_token_table(study, vocabulary)
    first = study.vocabularies[0]
    if first.moments:
        yield _make_moments_table(first.moments)
        yield Paragraph(explain_role(first))
    if study.details.double_checking is not None:
        checking, gate_in = study.details.double_checking, study.cosine("gate_in")
        yield Paragraph(explain_double_checking(checking, gate_in))
    if first.lm_head:
        yield Paragraph(_describe_lm_head(first.lm_head))
    if study.details.properties:
        yield _make_property_table(study.details.properties)


def _make_token_table(study: CaseStudy, vocabulary: Vocabulary) -> Table:
    basis = vocabulary.lists[0].basis
    sides = [(vector, direction) for vector in study.vectors for direction in DIRECTIONS]
    lists = [study.tokens(vector, basis, direction) for vector, direction in sides]
    columns = make_columns(*(f"{vector} {_SIDES[direction]}" for vector, direction in sides))
    longest = max((len(one.tokens) for one in lists if one is not None), default=0)
    rows = tuple(tuple(_show_rank(one, rank) for one in lists) for rank in range(longest))
    caption = (
        f"Tokens by their rows of {vocabulary.rows}, each with its cosine: pos are those most "
        "along a vector, neg those most against it."
    )
    return Table(columns, rows, caption)


def _show_rank(tokens: TokenList | None, rank: int) -> Text:
    if tokens is None or rank >= len(tokens.tokens):
        return MISSING
    return show_scored_token(tokens.tokens[rank])


def _make_moments_table(moments: Sequence[VocabMoments]) -> Table:
    columns = make_columns(
        *("vector", "#mean", "#variance", "#skewness", "#kurtosis", "#variance of U·vector")
    )
    rows = tuple(
        (
            one.vector,
            *map(
                format_compact,
                (one.mean, one.variance, one.skewness, one.kurtosis, one.dot_variance),
            ),
        )
        for one in moments
    )
    caption = "Moments of cos(U, vector) over the vocabulary; a Gaussian has kurtosis 3."
    return Table(columns, rows, caption, row_headings=True)


def explain_role(vocabulary: Vocabulary) -> str:
    """Return the role of a neuron, or that it has none, with the numbers that make it so.

    The rule is that of universal-neurons §5.1: prediction and suppression by kurtosis and skewness
    of cos(U, out), partition by its variance.
    """
    out = next((one for one in vocabulary.moments if one.vector == "out"), None)
    if out is None or out.kurtosis is None or out.skewness is None or out.variance is None:
        return "Its role is not known: cos(U, out) has no moments."
    kurtosis = f"the kurtosis of cos(U, out) is {format_compact(out.kurtosis)}"
    skewness = f"its skewness {format_signed(out.skewness, 2)}"
    variance = f"its variance {format_compact(out.variance)}"
    if vocabulary.role == "partition":
        return (
            f"It is a partition neuron: {kurtosis}, {skewness}, and {variance} is above "
            f"{PARTITION_VARIANCE:g}."
        )
    if vocabulary.role is not None:
        side = "above" if out.skewness > 0 else "below"
        return (
            f"It is a {vocabulary.role} neuron: {kurtosis}, above {ROLE_KURTOSIS}, and {skewness} "
            f"is {side} 0."
        )
    return (
        f"It has no role: {kurtosis}, {skewness} and {variance}; prediction and suppression take a "
        f"kurtosis above {ROLE_KURTOSIS} and a skewness that is not 0, partition a variance above "
        f"{PARTITION_VARIANCE:g}."
    )


def explain_double_checking(checking: DoubleChecking, gate_in: float | None) -> str:
    """Return how far gate and in look for the same tokens (weakening-neurons App. E).

    Args:
        checking: the overlap of their tokens.
        gate_in: cos(gate, in); the paper speaks of double checking where it is near zero.
    """
    side = "bottom" if checking.relative_sign == -1 else "top"
    if checking.jaccard is None:
        return f"Double checking at k = {checking.k} has no value."
    shared = round(2 * checking.k * checking.jaccard / (1 + checking.jaccard))
    return (
        f"Double checking: the {checking.k} top U-tokens of gate and the {checking.k} {side} "
        f"U-tokens of in have {format_count(shared, 'token')} in common, a Jaccard overlap of "
        f"{checking.jaccard:.3f}; cos(gate, in) is {format_signed(gate_in)}."
    )


def _describe_lm_head(tokens: Sequence[LmHeadToken]) -> Text:
    sides = [
        join_texts(
            (
                f"the most probable token of {format_side(one.side)} is ",
                show_token(one.token, one.token_id),
                f" with p = {format_compact(one.probability)}, {format_compact(one.normalised)} "
                "times the mean of the 100 largest",
            ),
            "",
        )
        for one in tokens
    ]
    return join_texts(("Under the LM head, ", join_texts(sides, "; "), "."), "")


def _make_property_table(properties: Sequence[PropertyEffect]) -> Table:
    shown = _choose_properties(properties)
    columns = make_columns(
        *("tokens with the property", "#effect", "#mean cos(U, out)", "#mean of all others")
    )
    rows = tuple(
        (
            one.property,
            format_signed(one.effect, 3),
            format_number(one.inside_mean),
            format_number(one.outside_mean),
        )
        for one in shown
    )
    caption = (
        f"What out does to tokens with a property, the {len(shown)} strongest of "
        f"{len(properties)}: the difference of the two means, in standard deviations of "
        "cos(U, out) over the vocabulary."
    )
    return Table(columns, rows, caption, row_headings=True)


def _choose_properties(properties: Sequence[PropertyEffect]) -> tuple[PropertyEffect, ...]:
    """Return the most promoted properties and the most suppressed ones, in the order of effects."""
    if len(properties) <= 2 * PROPERTIES_SHOWN:
        return tuple(properties)
    return (*properties[:PROPERTIES_SHOWN], *properties[-PROPERTIES_SHOWN:])
