"""What the sample database holds: its shape, its words, and its facts as Python lists."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Table

LAYERS, WIDTH, TOP, DATASET = 4, 64, 4, 1
N_SOURCE_TEXTS = 20_000
"""Texts that those of the dataset were drawn from."""
NEURONS = LAYERS * WIDTH
THRESHOLD = 0.5
REGION = 0.25
"""Cosines within ± this are random in every layer."""

VOCABULARY = (
    *(" dog", "dog", " Dog", " cat", "cat", "\n", "\t", " ", "", "'", '"', "it's", "a|b", "<b>"),
    *("\x1b[31m", "\\xe2", "été", " 犬", "🐕", "null", "#1", "and", "\u202e", "a,b", "\r", "0.5"),
)
TEXTS = (
    "Once upon a time there was a dog.",
    "two\nlines\tand a tab",
    "\x1b[31mred\x1b[0m escape, a bell \x07",
    "quotes ' and \", pipes |, commas, <b>html</b>",
    "été 犬 🐕 \u202ereversed",
)

LABELS = ("web", "books")
"""Of the texts in turn."""
TEXT_TOKENS = 12
"""Tokens of each text as `sample-llama` reads it."""
PROPERTIES: dict[str, Callable[[str], bool]] = {
    "starts with space": lambda token: token.startswith(" "),
    "is ascii": lambda token: token.isascii(),
}
DECODED = " dog"
"""The token stored for all neurons."""
BINS = 60
METRICS = ("loss", "entropy", "rank", "scale")
CHANGED = 24
"""Changed tokens of a metric of the runs on sets."""
EACH_RUN, ATTRIBUTION_RUN = 900, 950
"""Before the number of the model, the run that removed its neurons, and that which estimated it."""
CLASS_RUN, RANDOM_RUN = 960, 970
"""And the one on a class of them together, and on random ones instead."""
NONFINITE = 7
"""Tokens left out of each first neuron of a layer."""

Row = dict[str, Any]
Insertions = dict[Table, list[Row]]


class Sample:
    """Where the database is, and what is in it.

    `neurons` has one row a neuron, the columns of neuron_overview worked out in Python; `top` the
    token texts by (neuron_id, list code) and rank; `head` the tokens of the LM-head decoding of
    +in, `head_turned` of −in by neuron of the gated model;
    `norms` those of tokens by (model, token, basis); `double` the rows of double_checking by
    neuron; `decoded` the probability of DECODED by neuron, `decoded_turned` at −in; `peaks` the
    rows of peak_tokens; `matches` those of universality of the runs that are shown,
    `case_matches` those by sign case; `families` those of families with the name of the model.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.neurons: list[Row] = []
        self.top: dict[tuple[int, int], list[str]] = {}
        self.head: dict[int, str] = {}
        self.head_turned: dict[int, str] = {}
        self.cases: list[Row] = []
        self.examples: list[Row] = []
        self.labels: list[Row] = []
        self.token_stats: list[Row] = []
        self.norms: dict[tuple[str, str, str], float] = {}
        self.double: dict[int, Row] = {}
        self.decoded: dict[int, float] = {}
        self.decoded_turned: dict[int, float] = {}
        self.effects: list[Row] = []
        self.logit_effects: list[Row] = []
        self.compared: list[Row] = []
        self.peaks: list[Row] = []
        self.matches: list[Row] = []
        self.case_matches: list[Row] = []
        self.families: list[Row] = []

    def heads(self, neuron_id: int) -> tuple[str, ...]:
        """Return the top tokens of the LM-head decoding at the sides of `in`, +in first."""
        turned = self.head_turned.get(neuron_id)
        return (self.head[neuron_id], *([] if turned is None else [turned]))

    @property
    def url(self) -> str:
        """What --db takes."""
        return str(self.path)

    def named(self, model: str, name: str) -> Row:
        """Return one neuron."""
        return next(n for n in self.neurons if n["model"] == model and n["name"] == name)
