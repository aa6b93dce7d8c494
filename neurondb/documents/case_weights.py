"""What a case study says of a neuron's weights: why it has its class, where it is in its layer."""

from collections.abc import Iterator
from typing import Final

from neurondb.documents.case_parts import PAIR_NAMES, format_percentile, make_columns
from neurondb.documents.markup import Block, Heading, Note, Paragraph, Table, Text
from neurondb.formatting.numbers import (
    MISSING,
    format_compact,
    format_count,
    format_share,
    format_signed,
)
from neurondb.reading.case_study import CaseStudy
from neurondb.reading.verdict import ATYPICAL, ClassAt, CosineReading, Region
from neurondb.taxonomy import UNDEFINED

_ORTHOGONAL: Final = "orthogonal output"
_QUANTITIES: Final = {
    "gate_norm": "‖gate‖",
    "in_norm": "‖in‖",
    "out_norm": "‖out‖",
    "penalty": "weight-decay penalty",
    "out_kurtosis": "kurtosis of cos(U, out)",
    "out_skewness": "skewness of cos(U, out)",
    "out_variance": "variance of cos(U, out)",
    "null_share": "share of ‖out‖ in the null directions of U",
    "freq": "share of tokens with x_gate > 0",
    "post_positive": "share of tokens with x_post > 0",
}
_SHARES: Final = ("null_share", "freq", "post_positive")
_CASE_OF_LEVEL: Final = {1: "above τ", 0: "within ±τ", -1: "below −τ"}


def write_class(study: CaseStudy) -> Iterator[Block]:
    """Yield why a neuron has its class, its cosines beside random ones, and its cautions."""
    yield Heading("Class", 3)
    verdict = study.summary.verdict
    if verdict.read_write is None:
        yield Paragraph("The weights of its layer are not ingested: it has no class.")
        return
    yield Paragraph(explain_class(study, verdict.read_write))
    yield _make_cosine_table(study)
    if verdict.elsewhere:
        classes = ", ".join(f"{at.name} at τ = {at.threshold:g}" for at in verdict.elsewhere)
        yield Paragraph(f"Its class at other stored thresholds: {classes}.")
    for caution in verdict.cautions:
        yield Note(f"{caution.kind.capitalize()}: {caution.reason}.", warning=True)


def explain_class(study: CaseStudy, at: ClassAt) -> str:
    """Return how a neuron's cosines make its class (weakening-neurons §2.2)."""
    name = at.name if at.name == at.io_name else f"{at.name} (also called {at.io_name})"
    start = f"At τ = {at.threshold:g} it is {name}"
    if at.name == UNDEFINED.name:
        return f"{start}: one of its vectors is zero, so that cosines have no value."
    levels = {pair: _compute_level(study.cosine(pair), at.threshold) for pair in PAIR_NAMES}
    in_out = _say_level(study, "in_out", levels["in_out"])
    if not study.identity.gated:
        return f"{start}, for {in_out}."
    gate_out = _say_level(study, "gate_out", levels["gate_out"])
    because = f"{start}, for {in_out} and {gate_out}"
    if at.name == _ORTHOGONAL:
        return f"{because}."
    expected = levels["in_out"] * levels["gate_out"]
    typical = f"the typical form has cos(gate, in) {_CASE_OF_LEVEL[expected]}"
    gate_in = _say_level(study, "gate_in", levels["gate_in"])
    kind = "atypical" if at.name.startswith(ATYPICAL) else "typical"
    return f"{because}. It is {kind}: {typical}, and {gate_in}."


def _compute_level(cosine: float | None, threshold: float) -> int:
    return 0 if cosine is None else (cosine > threshold) - (cosine < -threshold)


def _say_level(study: CaseStudy, pair: str, level: int) -> str:
    """Return a cosine and where it stands: `cos(in, out) = −0.8542 is below −τ`."""
    return f"{PAIR_NAMES[pair]} = {format_signed(study.cosine(pair))} is {_CASE_OF_LEVEL[level]}"


def _make_cosine_table(study: CaseStudy) -> Table:
    columns = make_columns(
        *("pair", "#cosine", "#mismatched 95%", "#gaussian 95%", "outside", "#percentile in layer")
    )
    rows = tuple(
        (
            PAIR_NAMES[one.pair],
            format_signed(one.value),
            _format_region(one, "mismatched"),
            _format_region(one, "gaussian"),
            MISSING if one.significant is None else "yes" if one.significant else "no",
            format_percentile(study.place(one.pair)),
        )
        for one in study.summary.cosines
    )
    pairs = [
        region.n_pairs
        for one in study.summary.cosines
        for region in one.regions
        if region.n_pairs is not None
    ]
    of_pairs = f" ({format_count(min(pairs), 'pair')} or more)" if pairs else ""
    caption = (
        f"Cosines beside what 95% of random ones lie in: of vectors of different neurons of the "
        f"layer{of_pairs}, and of random directions. A cosine outside the first region is "
        "significant; outside the second where there is no first."
    )
    return Table(columns, rows, caption, row_headings=True)


def _format_region(cosine: CosineReading, kind: str) -> str:
    region: Region | None = next((one for one in cosine.regions if one.kind == kind), None)
    if region is None:
        return MISSING
    return f"{format_signed(region.low, 3)} to {format_signed(region.high, 3)}"


def write_places(study: CaseStudy) -> Iterator[Block]:
    """Yield norms, moments and frequencies of a neuron, each among those of its layer."""
    identity = study.identity
    rows: list[tuple[Text, ...]] = [
        (name, _format_value(quantity, place.value), format_percentile(place))
        for quantity, name in _QUANTITIES.items()
        if (place := study.place(quantity)) is not None
    ]
    biases = {"gate bias": identity.gate_bias, "in bias": identity.in_bias}
    rows += [
        (name, format_compact(bias), MISSING) for name, bias in biases.items() if bias is not None
    ]
    if not rows:
        return
    yield Heading(f"Place in layer {identity.layer}", 3)
    most = max((place.n for place in study.places), default=0)
    caption = (
        f"Its numbers among those of the {format_count(most, 'neuron')} of layer "
        f"{identity.layer}: a percentile is the share of the other neurons that have a smaller one."
    )
    columns = make_columns("quantity", "#value", "#percentile in layer")
    yield Table(columns, tuple(rows), caption, row_headings=True)
    if identity.sign == -1:
        yield Paragraph(
            "Its sign is −1: in and out are multiplied by −1, so that gate·in ≥ 0; hook_pre_linear "
            "and hook_post here are the negatives of what the model computes."
        )


def _format_value(quantity: str, value: float) -> str:
    return format_share(value) if quantity in _SHARES else format_compact(value)
