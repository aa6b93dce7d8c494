"""A made-up neuron's page that tests of its panels share, and how a terminal shows it."""

import io

from rich.console import Console

from neurondb.contracts.annotations import Annotation
from neurondb.reading.activations import (
    Activations,
    Moments,
    SignCase,
    Spread,
)
from neurondb.reading.examples import Example, ExampleList
from neurondb.reading.excerpts import Excerpt
from neurondb.reading.neuron import Identity, NeuronPage
from neurondb.reading.peaks import CasePeaks, PeakToken
from neurondb.reading.texts import Dataset
from neurondb.reading.verdict import Caution, ClassAt, CosineReading, Region, Verdict
from neurondb.reading.vocabulary import (
    LmHeadToken,
    ScoredToken,
    TokenList,
    VocabMoments,
    Vocabulary,
)
from neurondb.terminal.console import THEME
from neurondb.terminal.neuron import draw_neuron_page

HOSTILE = ("\x1b[31m", "[bold]red[/bold]", "\u202eevil", "x" * 10_000, "\r", "\x9bH", "\x07")

PAGE_WIDTHS = (60, 80, 100, 119, 140, 160)

IDENTITY = Identity(
    "tiny", "hub/tiny", "llama", "silu", True, "31.9634", 31, 9634, 351_000, -1, 1.5, 2.5, 3.5,
    None, None, 9.0,
)  # fmt: skip

REGIONS = (Region("gaussian", -0.03, 0.03, None, 0.0), Region("mismatched", -0.1, 0.08, 500, 1e-4))

COSINES = (
    CosineReading("gate_in", 0.7164, REGIONS, True),
    CosineReading("gate_out", -0.7218, REGIONS, True),
    CosineReading("in_out", 0.0123, REGIONS, False),
)

MOMENTS = Moments(0.25, 4.0, -2.5, 31.0)


def case(name: str, count: int, *, dominant: bool = False) -> SignCase:
    spread = Spread(-0.18, -5.12, 0.5)
    return SignCase(name, count, count / 1000, dominant, spread, spread, spread, spread)


ACTIVATIONS = Activations(
    Dataset(1, "tales", 3), 1000, 0.632, 0.25, MOMENTS, MOMENTS,
    (case("gate+_in+", 150), case("gate+_in-", 670, dominant=True), case("gate-_in+", 0)),
)  # fmt: skip


def lists(*tokens: str) -> tuple[TokenList, ...]:
    scored = tuple(ScoredToken(i, i, text, 0.5 - i / 100, 1.0) for i, text in enumerate(tokens))
    return tuple(
        TokenList(vector, "unembed", direction, scored)
        for vector in ("gate", "in", "out")
        for direction in ("top", "bottom")
    )


def vocabulary(*tokens: str) -> Vocabulary:
    found = lists(*tokens)
    moments = tuple(VocabMoments(v, 0.0, 0.04, 1.0, 12.0, 0.1) for v in ("gate", "in", "out"))
    first = found[0].tokens[0]
    lm_head = (LmHeadToken(-1, 1, tokens[0], 0.25, 6.5), LmHeadToken(1, 2, tokens[0], 0.125, 2.5))
    return Vocabulary("U folded", "prediction", first, first, found, moments, lm_head)


def examples(*peaks: str | None) -> tuple[ExampleList, ...]:
    shown = tuple(
        Example(i, i, i, 7, 5.12 - i, Excerpt("upon a ", peak, " in time\nfor all", False, False))
        for i, peak in enumerate(peaks)
    )
    return (
        ExampleList("gate+_in-", "hook_post", True, shown),
        ExampleList("gate-_in+", "hook_post", False, ()),
    )


def case_peaks(*tokens: str | None) -> tuple[CasePeaks, ...]:
    """Return the peak tokens of two sign cases, the second of BOS alone."""
    peaks = tuple(PeakToken(i, token, 9 - i % 9, 1.5) for i, token in enumerate(tokens))
    first = CasePeaks("gate+_in-", 16, False, peaks, peaks[:1], ())
    return first, CasePeaks("gate-_in-", 7, True, (PeakToken(1, "<s>", 7, -2.0),), (), peaks)


PAGE = NeuronPage(
    IDENTITY,
    Verdict(
        ClassAt(0.5, "weakening", "depletion"),
        "removes what it reads",
        (ClassAt(0.3, "atypical weakening", "atypical depletion"),),
        (Caution("dense", "fires on 95.0% of the tokens"),),
    ),
    COSINES,
    vocabulary(" once", " again"),
    ACTIVATIONS,
    examples(" dog"),
    (Annotation("me", "label", "negates", None),),
    peaks=case_peaks(" Paris", None, " of"),
)


def shown_page(page: NeuronPage, width: int = 80, *, colour: bool = False) -> str:
    """The page as a pipe or a terminal of this width gets it."""
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, theme=THEME, force_terminal=colour,
        color_system="standard" if colour else None,
    )  # fmt: skip
    console.print(draw_neuron_page(page, width, marks=not colour), crop=False)
    return stream.getvalue()


def in_words(text: str) -> str:
    return " ".join(text.split())
