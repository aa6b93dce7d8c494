"""What a case study says of a neuron on texts: its sign cases, what it writes in each, its peaks.

In canonical sign a gated neuron has x_gate = hook_pre, x_in = hook_pre_linear and x_post =
hook_post = act(x_gate)·x_in; it adds x_post·out to the residual stream (METHODS §1, §5).
"""

from collections.abc import Iterator, Sequence
from typing import Final

from neurondb.documents.case_parts import (
    BOS_ONLY,
    format_number,
    make_columns,
    show_excerpt,
    show_token,
)
from neurondb.documents.markup import Block, Code, Heading, Note, Paragraph, Table, Text, join_texts
from neurondb.formatting.numbers import (
    MISSING,
    format_compact,
    format_count,
    format_share,
    format_whole,
)
from neurondb.reading.activations import Activations, LabelReading, SignCase, Spread
from neurondb.reading.case_study import CaseStudy
from neurondb.reading.examples import ExampleList
from neurondb.reading.peaks import FIRES, CasePeaks, PeakToken
from neurondb.reading.token_stats import TokenStatistics

PEAK_TOKENS: Final = 6
"""How many tokens are listed that stand at one place of the peaks."""
LABELS_SHOWN: Final = 12
_PLACES: Final = {"current": "at the token", "previous": "just after it", "next": "just before it"}


def write_activations(study: CaseStudy) -> Iterator[Block]:
    """Yield how often a neuron is in each sign case, what it does there, and its texts."""
    activations = study.summary.activations
    if activations is None:
        return
    yield Heading("Sign cases", 3)
    yield _make_case_table(activations, gated=study.identity.gated)
    yield Paragraph(_describe_cases(study, activations))
    if study.identity.out_norm is not None:
        yield _make_written_table(study, activations)
    yield _make_moments_table(activations)
    if any(one.examples for one in study.examples):
        yield Heading("Strongest texts of each sign case", 3)
        yield Paragraph(
            "The texts of largest |x_post|, the token at the peak marked; texts and positions are "
            "counted from 0."
        )
    for one in study.examples:
        yield from _write_examples(one, activations)
    yield from _write_firing(study, activations)


# --- sign cases -----------------------------------------------------------------------------


def _make_case_table(activations: Activations, *, gated: bool) -> Table:
    """Return a line for every case and quantity; only the first of a case says how often it is."""
    columns = make_columns(
        *("case", "#tokens", "#share", "quantity", "#mean", "#minimum", "#maximum")
    )
    rows: list[tuple[Text, ...]] = []
    for case in activations.cases:
        head: tuple[Text, ...] = (
            *(Code(case.sign_case), format_whole(case.count), format_share(case.freq)),
        )
        for quantity, spread in _list_spreads(case, gated=gated):
            values = map(format_number, (spread.mean, spread.min, spread.max))
            rows.append((*head, quantity, *values))
            head = ("", "", "")
    sign = " in canonical sign" if gated else ""
    caption = (
        f"Signs of {'x_gate and x_in' if gated else 'x_in'} over "
        f"{format_count(activations.n_tokens, 'token')} of {activations.dataset.name}, and the "
        f"values{sign} at the tokens of each case."
    )
    return Table(columns, tuple(rows), caption)


def _list_spreads(case: SignCase, *, gated: bool) -> list[tuple[str, Spread]]:
    """Return the quantities of a case, x_post first."""
    if not gated:
        return [("x_post", case.post), ("x_in", case.pre)]
    return [
        ("x_post", case.post),
        ("x_in", case.pre_linear),
        ("x_gate", case.pre),
        ("act(x_gate)", case.swish),
    ]


def _describe_cases(study: CaseStudy, activations: Activations) -> str:
    quantity = "x_gate" if study.identity.gated else "x_in"
    parts = [
        f"{quantity} is above zero on {format_share(activations.fires)} of the tokens, x_post on "
        f"{format_share(activations.post_positive)}"
    ]
    if activations.dominant is not None:
        parts.append(f"the most frequent case is {activations.dominant}")
    strongest = next(
        (case for case in activations.cases if case.sign_case == activations.strongest), None
    )
    if strongest is not None and strongest.post.min is not None and strongest.post.max is not None:
        largest = max(abs(strongest.post.min), abs(strongest.post.max))
        parts.append(
            f"|x_post| is largest in {strongest.sign_case}, where it reaches "
            f"{format_compact(largest)}"
        )
    return "; ".join(parts) + "."


def _make_written_table(study: CaseStudy, activations: Activations) -> Table:
    """Return what each case adds to the residual stream along the vectors, on average."""
    gated = study.identity.gated
    vectors = ("in", "gate") if gated else ("in",)
    columns = make_columns(
        *("case", "x_post", "#added along out"), *(f"#added along {vector}" for vector in vectors)
    )
    rows: tuple[tuple[Text, ...], ...] = tuple(
        (
            Code(case.sign_case),
            describe_sign(case),
            format_number(compute_written(study, case)),
            *(_format_written(study, case, vector) for vector in vectors),
        )
        for case in activations.cases
    )
    caption = (
        "What the neuron adds to the residual stream in each case, on average: mean x_post·‖out‖ "
        "along out, and times cos(in, out)"
        + (" or cos(gate, out) along in or gate" if gated else " along in")
        + ". Beside it stands whether its sign is that of x_in"
        + (" or x_gate" if gated else "")
        + " in the case (with), or the opposite (against)."
    )
    return Table(columns, rows, caption, row_headings=True)


def describe_sign(case: SignCase) -> str:
    """Return the sign that x_post has at the tokens of a case."""
    low, high = case.post.min, case.post.max
    if low is None or high is None:
        return MISSING
    if low > 0:
        return "> 0"
    if high < 0:
        return "< 0"
    return "0" if low == high == 0 else "≥ 0" if low == 0 else "≤ 0" if high == 0 else "both signs"


def compute_written(study: CaseStudy, case: SignCase, vector: str = "out") -> float | None:
    """Return the mean that a case adds to the residual stream along out, in or gate.

    It is the mean of x_post times ‖out‖, and times the cosine of out and the vector.
    """
    cosine = 1.0 if vector == "out" else study.cosine(f"{vector}_out")
    norm, mean = study.identity.out_norm, case.post.mean
    return None if cosine is None or norm is None or mean is None else mean * norm * cosine


def _format_written(study: CaseStudy, case: SignCase, vector: str) -> str:
    written = compute_written(study, case, vector)
    sign = 1 if f"{vector}+" in case.sign_case else -1
    if not written:
        return format_number(written)
    return f"{format_number(written)} {'with' if written * sign > 0 else 'against'}"


def _make_moments_table(activations: Activations) -> Table:
    columns = make_columns("over all tokens", "#mean", "#variance", "#skewness", "#kurtosis")
    rows = tuple(
        (name, *map(format_compact, (one.mean, one.variance, one.skewness, one.kurtosis)))
        for name, one in (("hook_pre", activations.pre), ("hook_post", activations.post))
    )
    return Table(columns, rows, row_headings=True)


# --- texts and tokens -----------------------------------------------------------------------


def _write_examples(one: ExampleList, activations: Activations) -> Iterator[Block]:
    """Yield the texts of one sign case; nothing where none is stored."""
    if not one.examples:
        return
    case = next(case for case in activations.cases if case.sign_case == one.sign_case)
    yield Heading(f"{one.sign_case}, {format_share(case.freq)} of the tokens", 4)
    columns = make_columns("#x_post", "#text", "#position", "the text around it")
    rows = tuple(
        (
            format_number(example.value),
            MISSING if example.ordinal is None else f"{example.ordinal}",
            format_whole(example.position),
            show_excerpt(example.excerpt),
        )
        for example in one.examples
    )
    yield Table(columns, rows)
    if one.bos_only:
        yield Note(BOS_ONLY, warning=True)


def _write_firing(study: CaseStudy, activations: Activations) -> Iterator[Block]:
    """Yield the tokens and labels on which a neuron fires."""
    if not (study.peaks or study.token_stats or activations.labels):
        return
    yield Heading("What fires it", 3)
    if study.peaks:
        yield _make_peak_table(study.peaks)
    for case in study.peaks:
        if case.bos_only:
            yield Note(f"{case.sign_case}: {BOS_ONLY}", warning=True)
    if any(place.tokens for place in study.token_stats):
        yield _make_token_table(study.token_stats, activations, gated=study.identity.gated)
    if activations.labels:
        yield _make_label_table(activations.labels, gated=study.identity.gated)


def _make_peak_table(peaks: Sequence[CasePeaks]) -> Table:
    columns = make_columns("case", *FIRES.values())
    rows: tuple[tuple[Text, ...], ...] = tuple(
        (
            Code(case.sign_case),
            *(_show_peak_tokens(found, case.n_examples) for found in case.by_place.values()),
        )
        for case in peaks
    )
    caption = (
        "The tokens at the peaks of the strongest texts of each case, those before them and those "
        f"after them, with the number of texts that have them there; {PEAK_TOKENS} of each at most."
    )
    return Table(columns, rows, caption, row_headings=True)


def _show_peak_tokens(tokens: Sequence[PeakToken], n_examples: int) -> Text:
    if not tokens:
        return MISSING
    return join_texts(
        [
            (show_token(one.token, one.token_id), f" {one.count}/{n_examples}")
            for one in tokens[:PEAK_TOKENS]
        ]
    )


def _make_token_table(
    statistics: Sequence[TokenStatistics], activations: Activations, *, gated: bool
) -> Table:
    columns = make_columns(
        *("place", "token", "#mean x_post", f"#share of {'x_gate' if gated else 'x_post'} > 0"),
        "#positions",
    )
    rows = tuple(
        (
            _PLACES[place.place],
            show_token(one.token, one.token_id),
            format_number(one.mean),
            format_share(one.freq),
            f"{one.n:,}",
        )
        for place in statistics
        for one in place.tokens
    )
    caption = (
        "Frequent tokens at which, just after which and just before which |mean x_post| is "
        f"largest; over all positions the mean is {format_compact(activations.post.mean)}."
    )
    return Table(columns, rows, caption, row_headings=True)


def _make_label_table(labels: Sequence[LabelReading], *, gated: bool) -> Table:
    shown = labels[:LABELS_SHOWN]
    share = ["#x_gate > 0"] if gated else []
    columns = make_columns("label", "#tokens", *share, "#x_post > 0", "#mean x_post")
    rows = tuple(
        (
            one.label,
            f"{one.n_tokens:,}",
            *([format_share(one.freq)] if gated else []),
            format_share(one.post_positive),
            format_compact(one.post_mean),
        )
        for one in shown
    )
    of_all = f", the first {len(shown)} of {len(labels)}" if len(shown) < len(labels) else ""
    return Table(
        columns,
        rows,
        f"Parts of the dataset, where it fires most first{of_all}.",
        row_headings=True,
    )
