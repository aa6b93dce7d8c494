"""What steered models do: clamped neurons at every value, and texts that they generate.

`clamp` sweeps values and shows the probability of each target; `generate` prints one run's text as
it comes, or a clean and a steered one in columns side by side.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from neurondb.contracts.clamp import ClampResult
from neurondb.contracts.generate import GeneratedToken, Sample
from neurondb.formatting.numbers import format_compact
from neurondb.formatting.text import format_token, keep_start, make_visible, wrap_parts
from neurondb.neurons import NeuronPlace
from neurondb.reading.models import Model
from neurondb.sql import Rows
from neurondb.terminal.charts import CleanRun, draw_bars
from neurondb.terminal.console import make_heading, make_table

# --- clamp ----------------------------------------------------------------------------------

CLAMP_COLUMNS: Final = (
    *("model", "neurons", "hook", "position", "sign", "value"),
    *("token_id", "token", "probability", "rank"),
)
_TOKEN_CELLS: Final = 14


class ClampPage(NamedTuple):
    """A sweep of values that neurons were clamped to, and what was asked for.

    Attributes:
        model: the model that ran.
        neurons: the neurons that were clamped.
        prompt: the text that they were clamped in.
        position: `all` or `last`, where they were clamped.
        sign: whether the values are in canonical sign or the model's own.
        sweep: what became of the targets at every value.
        texts: token id → text, of targets and next tokens.
    """

    model: Model
    neurons: tuple[NeuronPlace, ...]
    prompt: str
    position: str
    sign: str
    sweep: ClampResult
    texts: Mapping[int, str]

    @property
    def name(self) -> str:
        """The names of the neurons, joined by commas."""
        return ",".join(place.name for place in self.neurons)


def make_clamp_rows(page: ClampPage) -> Rows:
    """Return one row a value and target; those of the clean run, value NULL, come first."""

    def rows() -> Iterator[tuple[object, ...]]:
        sweep = page.sweep
        page_columns = (page.model.name, page.name, sweep.hook, page.position, page.sign)
        for values, next_tokens in (([None], sweep.clean), (sweep.values.tolist(), sweep.clamped)):
            for i, value in enumerate(values):
                for j, token_id in enumerate(sweep.target_ids):
                    of_target = (float(next_tokens.probability[i, j]), int(next_tokens.rank[i, j]))
                    yield (*page_columns, value, token_id, page.texts[token_id], *of_target)

    return Rows(CLAMP_COLUMNS, rows())


def draw_clamp_page(page: ClampPage, width: int) -> RenderableType:
    """Return a plot for each target, and the most probable tokens at the ends, at 0 and clean."""
    sweep = page.sweep
    position_text = "at every position" if page.position == "all" else "at the last position"
    sign_text = "canonical" if page.sign == "canonical" else "the model's own"
    values = f"{len(sweep.values)} values in {sign_text} sign"
    facts = (f"{sweep.hook} {position_text}", values, f"{sweep.n_prompt} tokens")
    parts: list[RenderableType] = [
        Text(f"{make_visible(page.model.name)} {page.name}", "name"),
        Text(wrap_parts(facts, width), "faint"),
        Text(keep_start(page.prompt, width)),
    ]
    for column, token_id in enumerate(sweep.target_ids):
        parts += [Text(), *_draw_target(page, column, page.texts[token_id], width)]
    title = make_heading("next token")
    return Group(*parts, Text(), title, _draw_next_tokens(page, width))


def _draw_target(page: ClampPage, column: int, text: str, width: int) -> Iterator[RenderableType]:
    sweep = page.sweep
    heights = sweep.clamped.probability[:, column]
    clean = float(sweep.clean.probability[0, column])
    best = int(heights.argmax())
    title = make_visible(f"p({text!r})")
    facts = (
        f"clean {format_compact(clean)}, rank {sweep.clean.rank[0, column]}",
        f"highest {format_compact(float(heights[best]))} at {sweep.values[best]:g}",
        f"lowest {format_compact(float(heights.min()))} at {sweep.values[int(heights.argmin())]:g}",
    )
    yield make_heading(title)
    yield Text(wrap_parts(facts, width), "faint")
    order = np.argsort(sweep.values, kind="stable")
    place = float(sweep.clean_values[0]) if len(page.neurons) == 1 else None
    yield draw_bars(
        sweep.values[order].tolist(), heights[order].tolist(), CleanRun(clean, place), width
    )


def _draw_next_tokens(page: ClampPage, width: int) -> Table:
    sweep = page.sweep
    columns = [
        (f"at {sweep.values[i]:g}", sweep.clamped.top_ids[i], sweep.clamped.top_probability[i])
        for i in choose_landmarks(sweep.values)
    ]
    columns.insert(1, ("clean", sweep.clean.top_ids[0], sweep.clean.top_probability[0]))
    cells = max(4, min(_TOKEN_CELLS, width // len(columns) - 9))
    table = make_table()
    for heading, *_ in columns:
        table.add_column(heading, no_wrap=True)
    for row in range(len(columns[0][1])):
        table.add_row(*(_draw_token(page, ids[row], p[row], cells) for _, ids, p in columns))
    return table


def _draw_token(page: ClampPage, token_id: int, probability: float, cells: int) -> Text:
    text = format_token(page.texts[int(token_id)], cells)
    return Text.assemble(text, (f" {format_compact(float(probability))}", "faint"))


def choose_landmarks(values: Sequence[float] | np.ndarray) -> list[int]:
    """Return the places of the first value, of the one nearest to 0, and of the last, each once."""
    nearest = int(np.abs(np.asarray(values)).argmin())
    return list(dict.fromkeys((0, nearest, len(values) - 1)))


# --- generate -------------------------------------------------------------------------------

GENERATION_COLUMNS: Final = (
    *("model", "run", "steering", "prompt", "text", "n_tokens", "ended", "seed"),
)
_ENDINGS: Final = {
    "eos": "the model ended it",
    "length": "cut at --max-new-tokens",
    "context": "the context is full",
}


class Transcript:
    """The text of a run so far, of how many tokens it is, and why it ended, if it did."""

    def __init__(self) -> None:
        self.text = ""
        self.n_tokens = 0
        self.ended: str | None = None

    @classmethod
    def from_sample(cls, sample: Sample) -> "Transcript":
        """Return the transcript of a text that is finished."""
        transcript = cls()
        transcript.text, transcript.n_tokens = sample.text, sample.n_tokens
        transcript.ended = sample.ended or None
        return transcript

    def add(self, piece: GeneratedToken) -> None:
        """Append the next piece."""
        self.text += piece.text
        self.n_tokens += piece.token_id is not None
        self.ended = piece.ended

    @property
    def ending(self) -> str:
        """How many tokens the text has, and why it has no more."""
        reason = f", {_ENDINGS[self.ended]}" if self.ended else ""
        return f"{self.n_tokens} token{'s' * (self.n_tokens != 1)}{reason}"


def collect_transcripts(pieces: Iterable[GeneratedToken]) -> dict[str, Transcript]:
    """Return run → its whole text, of the pieces of all runs."""
    transcripts: dict[str, Transcript] = {}
    for piece in pieces:
        transcripts.setdefault(piece.run, Transcript()).add(piece)
    return transcripts


def make_generation_rows(
    transcripts: Mapping[str, Transcript], model: str, prompt: str, steering: str, seed: int
) -> Rows:
    """Return one row a run; `steering` is empty for the clean one."""

    def rows() -> Iterator[tuple[object, ...]]:
        for run, transcript in transcripts.items():
            intervention = steering if run == "steered" else ""
            yield (
                model,
                run,
                intervention,
                prompt,
                transcript.text,
                transcript.n_tokens,
                transcript.ended,
                seed,
            )

    return Rows(GENERATION_COLUMNS, rows())


def stream_text(
    pieces: Iterable[GeneratedToken], terminal: Console, prompt: str, steering: str = ""
) -> None:
    """Print one run's text as it comes, after the prompt; `steering` says what was done to it."""
    transcript = Transcript()
    terminal.print(Text(make_lines_visible(prompt), "faint"), end="", soft_wrap=True)
    for piece in pieces:
        transcript.add(piece)
        if piece.text:
            terminal.print(Text(make_lines_visible(piece.text)), end="", soft_wrap=True)
    _print_ending(transcript, terminal, steering)


def print_text(transcript: Transcript, terminal: Console, prompt: str, steering: str = "") -> None:
    """Print a text that is finished as `stream_text` prints one that comes."""
    terminal.print(Text(make_lines_visible(prompt), "faint"), end="", soft_wrap=True)
    terminal.print(Text(make_lines_visible(transcript.text)), end="", soft_wrap=True)
    _print_ending(transcript, terminal, steering)


def _print_ending(transcript: Transcript, terminal: Console, steering: str) -> None:
    facts = ", ".join([transcript.ending, *([make_visible(steering)] if steering else [])])
    terminal.print(Text(f"\n\n{facts}", "faint"))


def stream_columns(
    pieces: Iterable[GeneratedToken], terminal: Console, prompt: str, titles: Mapping[str, str]
) -> None:
    """Print the runs' texts in columns as they come.

    Args:
        pieces: the pieces of all runs, as they come.
        terminal: where to print; where it is none, the columns are printed once, at the end.
        prompt: the text that is continued, printed above.
        titles: run → the head of its column.
    """
    transcripts = {run: Transcript() for run in titles}
    terminal.print(Text(make_lines_visible(prompt), "faint"), soft_wrap=True)
    terminal.print()
    if not terminal.is_terminal:
        for piece in pieces:
            transcripts[piece.run].add(piece)
        terminal.print(_draw_columns(transcripts, titles, terminal.width), crop=False)
        return
    page = _draw_columns(transcripts, titles, terminal.width)
    with Live(page, console=terminal, vertical_overflow="visible", auto_refresh=False) as live:
        for piece in pieces:
            transcripts[piece.run].add(piece)
            live.update(_draw_columns(transcripts, titles, terminal.width), refresh=True)


def print_columns(
    transcripts: Mapping[str, Transcript],
    terminal: Console,
    prompt: str,
    titles: Mapping[str, str],
) -> None:
    """Print texts that are finished as `stream_columns` prints those that come."""
    terminal.print(Text(make_lines_visible(prompt), "faint"), soft_wrap=True)
    terminal.print()
    terminal.print(_draw_columns(transcripts, titles, terminal.width), crop=False)


def _draw_columns(
    transcripts: Mapping[str, Transcript], titles: Mapping[str, str], width: int
) -> RenderableType:
    table = make_table(gap=3)
    table.header_style = "heading"
    for run in transcripts:
        table.add_column(
            make_visible(titles[run]), width=width // len(transcripts) - 3, overflow="fold"
        )
    table.add_row(
        *(Text(make_lines_visible(transcript.text).strip()) for transcript in transcripts.values())
    )
    endings = Table.grid(padding=(0, 3, 0, 0))
    for _ in transcripts:
        endings.add_column(width=width // len(transcripts) - 3)
    endings.add_row(
        *(
            Text(transcript.ending if transcript.ended else "", "faint")
            for transcript in transcripts.values()
        )
    )
    return Group(table, Text(), endings)


def make_lines_visible(text: str) -> str:
    """Return a text in which nothing acts on the terminal but ends of lines."""
    return "\n".join(make_visible(line) for line in text.split("\n"))
