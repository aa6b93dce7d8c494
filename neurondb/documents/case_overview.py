"""The first tables of case studies: all neurons at a glance, as weakening-neurons Tables 2 to 4.

A neuron has two lines in the second table, for the positive and the negative side of its vectors
and its activations. A reading vector whose cosine with `out` is beyond ±τ is not shown by tokens
but as `≈ ±w_out`, as the paper does: its tokens would be those of `out`, or of its negative.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from neurondb.documents.case_parts import (
    PAIR_NAMES,
    SHORT_AFTER,
    SHORT_BEFORE,
    format_number,
    list_tokens,
    make_columns,
    show_excerpt,
)
from neurondb.documents.markup import ClassName, Link, Table, Text, join_texts
from neurondb.formatting.numbers import MISSING, format_compact, format_share, format_signed
from neurondb.reading.case_study import CaseStudy
from neurondb.reading.examples import Example

TOKENS_SHOWN: Final = 3
"""How many tokens stand for a side of a vector."""
_OUT: Final = "out"


class Sides(NamedTuple):
    """What stands for a weight vector: its positive and its negative side.

    A vector that is near ±out has `≈ ±w_out` on the first, and nothing on the second.
    """

    positive: Text
    negative: Text


def make_anchor(study: CaseStudy) -> str:
    """Return what links to a neuron's section call it."""
    return f"neuron-{study.identity.layer}-{study.identity.neuron}"


def make_overview(studies: Sequence[CaseStudy]) -> tuple[Table, Table]:
    """Return the two tables of some neurons of one model."""
    return _make_cosine_table(studies), _make_vector_table(studies)


def describe_vector(study: CaseStudy, vector: str) -> Sides:
    """Return what stands for a vector in the layout of Tables 3 and 4."""
    cosine = study.cosine(f"{vector}_out")
    if vector != _OUT and cosine is not None and abs(cosine) > study.model.threshold:
        sign = "" if cosine > 0 else "−"
        return Sides(f"≈ {sign}w_out ({format_signed(cosine)})", "")
    lists = (study.tokens(vector, "unembed", direction) for direction in ("top", "bottom"))
    return Sides(*(list_tokens(one.tokens[:TOKENS_SHOWN]) if one else MISSING for one in lists))


def _make_cosine_table(studies: Sequence[CaseStudy]) -> Table:
    """Return Table 2: the class of each neuron and the cosines that make it so."""
    gated = studies[0].identity.gated
    pairs = ("gate_in", "gate_out", "in_out") if gated else ("in_out",)
    columns = make_columns(
        *("neuron", "class"),
        *(f"#{PAIR_NAMES[pair]}" for pair in pairs),
        *("#sign", "role", "#kurtosis of out", "#fires on"),
    )
    rows = tuple(
        (
            Link(study.identity.name, f"#{make_anchor(study)}"),
            _show_class(study),
            *(format_signed(study.cosine(pair)) for pair in pairs),
            _format_sign(study.identity.sign),
            _find_role(study),
            format_compact(_find_kurtosis(study)),
            _format_fires(study),
        )
        for study in studies
    )
    caption = (
        f"Class at τ = {studies[0].model.threshold:g} and the cosines of the weight vectors, as in "
        "Table 2 of weakening-neurons."
    )
    if gated:
        caption += (
            " Cosines are in canonical sign, cos(gate, in) ≥ 0: at sign −1 cos(gate, in) and "
            "cos(gate, out) of the model's own vectors have the opposite sign."
        )
    return Table(columns, rows, caption, row_headings=True)


def _make_vector_table(studies: Sequence[CaseStudy]) -> Table:
    """Return Tables 3 and 4: each vector by tokens or as ≈ ±w_out, and the strongest texts."""
    vectors = studies[0].vectors
    columns = make_columns(
        *("neuron, class", "side"),
        *(f"w_{vector}" for vector in vectors),
        *("#hook_post", "text where it is largest or smallest"),
    )
    rows = tuple(row for study in studies for row in _make_vector_rows(study))
    tau = studies[0].model.threshold
    caption = (
        "Weight vectors and strongest activations, as in Tables 3 and 4 of weakening-neurons. Line "
        f"pos has the {TOKENS_SHOWN} tokens whose rows of U are most along a vector, line neg "
        "those most against it; "
        f"≈ ±w_out stands for a vector whose cosine with out is beyond ±{tau:g}, the cosine beside "
        "it. The texts have the largest hook_post above zero and the smallest below zero, the "
        "token at the peak marked. "
    )
    caption += "Vectors and values are in canonical sign." if studies[0].identity.gated else ""
    return Table(columns, rows, caption.strip(), row_headings=True)


def _make_vector_rows(study: CaseStudy) -> tuple[tuple[Text, ...], tuple[Text, ...]]:
    sides = [describe_vector(study, vector) for vector in study.vectors]
    above = next((one for one in study.extremes if one.value > 0), None)
    below = next((one for one in study.extremes if one.value < 0), None)
    return (
        (
            *(study.identity.name, "pos"),
            *(side.positive for side in sides),
            *_show_example(above),
        ),
        (_show_class(study), "neg", *(side.negative for side in sides), *_show_example(below)),
    )


def _show_example(example: Example | None) -> tuple[Text, Text]:
    if example is None:
        return MISSING, ""
    text = show_excerpt(example.excerpt, SHORT_BEFORE, SHORT_AFTER)
    if example.position == 0:
        text = join_texts((text, "(position 0: BOS)"), " ")
    return format_number(example.value), text


def _show_class(study: CaseStudy) -> Text:
    at = study.summary.verdict.read_write
    return MISSING if at is None else ClassName(at.name)


def _format_sign(sign: int | None) -> str:
    return MISSING if sign is None else "+1" if sign > 0 else "−1"


def _find_role(study: CaseStudy) -> str:
    """Return the neuron's role; `none` where its numbers give it none."""
    if not study.vocabularies or not study.vocabularies[0].moments:
        return MISSING
    return study.vocabularies[0].role or "none"


def _find_kurtosis(study: CaseStudy) -> float | None:
    moments = study.vocabularies[0].moments if study.vocabularies else ()
    return next((one.kurtosis for one in moments if one.vector == _OUT), None)


def _format_fires(study: CaseStudy) -> str:
    activations = study.summary.activations
    return format_share(None if activations is None else activations.fires)
