"""The figures of a report: drawn, made to fit into one page, and told about where they cannot be.

A figure of many points takes less room as pixels than as lines, or the other way round. Each is
what is smaller; where all of them are too much for a page, the largest become coarser.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from neurondb import figures
from neurondb.contracts.progress import Progress
from neurondb.documents.markup import Block, Code, Details, Figure, Listing, Text, mark_commands
from neurondb.documents.report.plan import Parameters, PlannedFigure
from neurondb.documents.report.subject import Subject
from neurondb.documents.svg import prepare_svg
from neurondb.errors import NeuronDBError

LARGE_SVG: Final = 200_000
"""Bytes of lines from which on pixels are tried."""
BUDGET: Final = 2_400_000
"""Bytes that all figures of a page may take, of its three million."""
SCALES: Final = (2.0, 1.5, 1.0, 0.75, 0.5)
"""Pixels for each pixel of the specification, from fine to coarse."""
TALL: Final = 650
"""Pixels of height from which on a figure gets more than half of a printed page."""
BASE64: Final = 4 / 3
"""Bytes of a picture in a page for each of its own."""


@dataclass
class Picture:
    """A figure that was drawn.

    Attributes:
        plan: where it belongs.
        name: unique in the report.
        spec: its vega-lite specification.
        caption: what it shows, and after which figure of a paper.
        statement: the SQL of its numbers; None where that is not known.
        image: the bytes of the picture.
        form: whether these are lines or pixels.
        scale: of pixels, how many for each of the specification.
        tall: whether half of a page would make its letters too small.
    """

    plan: PlannedFigure
    name: str
    spec: dict[str, Any] = field(repr=False)
    caption: Text
    statement: str | None
    image: bytes = field(repr=False)
    form: Literal["svg", "png"] = "svg"
    scale: float = 0.0
    tall: bool = False

    @property
    def n_bytes(self) -> int:
        """Bytes that it takes in a page."""
        return len(self.image) if self.form == "svg" else int(len(self.image) * BASE64)

    def make_blocks(self) -> tuple[Block, ...]:
        """Return the figure with its caption, and its SQL."""
        figure = Figure(
            self.name, self.spec["description"], self.image, self.form, self.caption, self.tall
        )
        if self.statement is None:
            return (figure,)
        command = Code(f"neurondb plot {self.plan.name} --sql")
        return figure, Details(("SQL: ", command), (Listing(self.statement),), printed=False)


def draw_pictures(
    subject: Subject, plan: Iterable[PlannedFigure], progress: Progress
) -> list[Picture]:
    """Return the figures that can be drawn, in order; the subject learns why others cannot."""
    known = [figure for figure in plan if figure.name in figures.FIGURES]
    replaced = {figure.instead_of for figure in known}
    wanted = [figure for figure in known if figure.name not in replaced]
    pictures: list[Picture] = []
    with progress.stage("figures", len(wanted), "figures") as advance:
        for planned in wanted:
            pictures += _draw_planned(subject, planned)
            advance(1, planned.name)
    fit_pictures(pictures)
    return pictures


def _draw_planned(subject: Subject, planned: PlannedFigure) -> list[Picture]:
    drawn: list[Picture] = []
    for parameters in planned.choose(subject.connection, subject.model):
        try:
            drawn.append(_draw(subject, planned, parameters, len(drawn)))
        except NeuronDBError as error:
            subject.note_missing(figures.FIGURES[planned.name].title, str(error))
    return drawn


def _draw(subject: Subject, planned: PlannedFigure, parameters: Parameters, place: int) -> Picture:
    connection, model = subject.connection, subject.model
    spec = figures.make_spec(connection, planned.name, model, **parameters)
    name = planned.name if place == 0 else f"{planned.name}-{place + 1}"
    caption = mark_commands(figures.FIGURES[planned.name].description) if place == 0 else ""
    image = prepare_svg(figures.render_spec(spec, "svg"), name).encode()
    return Picture(planned, name, spec, caption, None, image, tall=_measure_height(image) > TALL)


def _measure_height(image: bytes) -> float:
    """Return the height of a drawn figure in pixels."""
    box = re.search(rb'viewBox="[-\d.]+ [-\d.]+ [\d.]+ ([\d.]+)"', image)
    return float(box[1]) if box else 0.0


def fit_pictures(pictures: Sequence[Picture], budget: int = BUDGET) -> None:
    """Make figures coarser until all of them together fit into a number of bytes.

    A large one is pixels where these take less; then the largest goes to the next scale, as often
    as it has to.
    """
    for picture in pictures:
        if picture.n_bytes > LARGE_SVG:
            _rasterise(picture, SCALES[0])
    while sum(picture.n_bytes for picture in pictures) > budget:
        coarser = [p for p in pictures if p.n_bytes > LARGE_SVG // 4 and _find_scale(p)]
        if not coarser:
            return
        largest = max(coarser, key=lambda picture: picture.n_bytes)
        _rasterise(largest, _find_scale(largest))


def _find_scale(picture: Picture) -> float:
    """Return the next scale of a figure; 0 for none."""
    return next((scale for scale in SCALES if not picture.scale or scale < picture.scale), 0.0)


def _rasterise(picture: Picture, scale: float) -> None:
    """Make pixels of a figure where these are fewer bytes than it has."""
    image = figures.render_spec(picture.spec, "png", scale)
    picture.scale = scale
    if len(image) * BASE64 < picture.n_bytes:
        picture.image, picture.form = image, "png"
