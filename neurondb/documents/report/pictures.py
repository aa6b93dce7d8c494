"""The figures of a report: drawn, made to fit into one page, and told about where they cannot be.

A figure of many points takes less room as pixels than as lines, or the other way round. Each is
what is smaller; where all of them are too much for a page, the largest become coarser.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from sqlalchemy import Connection

from neurondb import figures
from neurondb.contracts.progress import Progress
from neurondb.documents.markup import Block, Code, Details, Figure, Listing, Text, mark_commands
from neurondb.documents.report.plan import Parameters, PlannedFigure
from neurondb.documents.report.subject import Subject
from neurondb.documents.svg import prepare_svg
from neurondb.errors import NeuronDBError
from neurondb.reading.models import Model
from neurondb.sql.query_files import parse_query
from neurondb.sql.written_out import fill_parameters, strip_header

if TYPE_CHECKING:
    from altair import TopLevelMixin

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
        statements: the SQL of its numbers, of each model; none where that is not known.
        image: the bytes of the picture.
        form: whether these are lines or pixels.
        scale: of pixels, how many for each of the specification; 0 while none were tried.
        tall: whether half of a page would make its letters too small.
    """

    plan: PlannedFigure
    name: str
    spec: dict[str, Any] = field(repr=False)
    caption: Text
    statements: tuple[str, ...]
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
        alt = self.spec["description"]
        figure = Figure(self.name, alt, self.image, self.form, self.caption, self.tall)
        if not self.statements:
            return (figure,)
        command = Code(f"neurondb plot {self.plan.name} --explain")
        listings = tuple(Listing(statement) for statement in self.statements)
        return figure, Details(("SQL: ", command), listings, printed=False)


class Drawing(NamedTuple):
    """Figures that are to be drawn.

    Attributes:
        subjects: one model, or several that each figure shows together.
        plan: the figures; those that the registry does not know are passed over.
        suffix: what their names end in, where one name is drawn of several models.
    """

    subjects: Sequence[Subject]
    plan: Iterable[PlannedFigure]
    suffix: str = ""


def draw_pictures(drawings: Iterable[Drawing], progress: Progress) -> list[Picture]:
    """Return the figures that can be drawn, in order; subjects learn why others cannot.

    Args:
        drawings: what is to be drawn.
        progress: is told of each figure.
    """
    wanted = [(drawing, one) for drawing in drawings for one in _choose_known(drawing.plan)]
    pictures: list[Picture] = []
    with progress.stage("figures", len(wanted), "figures") as advance:
        for drawing, planned in wanted:
            for picture in _draw_planned(drawing.subjects, planned):
                picture.name += drawing.suffix
                pictures.append(picture)
            advance(1, planned.name)
    return pictures


def _choose_known(plan: Iterable[PlannedFigure]) -> list[PlannedFigure]:
    known = [figure for figure in plan if figure.name in figures.FIGURES]
    replaced = {figure.instead_of for figure in known}
    return [figure for figure in known if figure.name not in replaced]


def _draw_planned(subjects: Sequence[Subject], planned: PlannedFigure) -> list[Picture]:
    drawn: list[Picture] = []
    for parameters in planned.choose(subjects[0].connection, subjects[0].model):
        charts = [(subject, _draw_alone(subject, planned, parameters)) for subject in subjects]
        shown = {subject.model: chart for subject, chart in charts if chart is not None}
        if shown:
            drawn.append(_draw(subjects[0].connection, planned, parameters, shown, len(drawn)))
    return drawn


def _draw_alone(
    subject: Subject, planned: PlannedFigure, parameters: Parameters
) -> "TopLevelMixin | None":
    """Return the figure of one model; None where something is missing, which the subject notes."""
    try:
        return figures.draw_chart(subject.connection, planned.name, subject.model, **parameters)
    except NeuronDBError as error:
        subject.note_missing(figures.FIGURES[planned.name].title, str(error))
        return None


def _draw(
    connection: Connection,
    planned: PlannedFigure,
    parameters: Parameters,
    charts: Mapping[Model, "TopLevelMixin"],
    place: int,
) -> Picture:
    """Return a figure of models, each of which has a chart of its own."""
    models = list(charts)
    if len(models) > 1 and figures.FIGURES[planned.name].together:
        chart = figures.draw_models(connection, planned.name, models, **parameters)
    else:
        chart = next(iter(charts.values()))
        chart = figures.stack_charts(list(charts.values())) if len(models) > 1 else chart
    spec = figures.finish_spec(chart)
    name = planned.name if place == 0 else f"{planned.name}-{place + 1}"
    caption = mark_commands(figures.FIGURES[planned.name].description) if place == 0 else ""
    image = prepare_svg(figures.render_spec(spec, "svg"), name).encode()
    filled = [
        figures.fill_statement(connection, planned.name, model, **parameters) for model in models
    ]
    return Picture(
        plan=planned,
        name=name,
        spec=spec,
        caption=caption,
        statements=tuple(_write_out(statement) for statement in filled if statement),
        image=image,
        tall=_measure_height(image) > TALL,
    )


def _write_out(statement: str) -> str:
    """Return a statement with the values of its header in it, as any program runs it."""
    query = parse_query(statement, "")
    return fill_parameters(strip_header(query).strip(), query.loose_bindings({}))


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
