"""Texts as they are generated: one that streams, or two in columns side by side."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from neurondb.asking.statements import Rows
from neurondb.jobs.steered import Piece
from neurondb.render.text import visible

COLUMNS: Final = ("model", "run", "steering", "prompt", "text", "n_tokens", "ended", "seed")
_ENDINGS: Final = {
    "eos": "the model ended it",
    "length": "cut at --max-new-tokens",
    "context": "the context is full",
}


class Transcript:
    """What a run has said so far."""

    def __init__(self) -> None:
        self.text = ""
        self.n_tokens = 0
        self.ended: str | None = None

    def add(self, piece: Piece) -> None:
        """Take the next piece."""
        self.text += piece.text
        self.n_tokens += piece.token_id is not None
        self.ended = piece.ended

    @property
    def ending(self) -> str:
        """How long it is, and why it is no longer."""
        why = f", {_ENDINGS[self.ended]}" if self.ended else ""
        return f"{self.n_tokens} token{'s' * (self.n_tokens != 1)}{why}"


def collect(pieces: Iterable[Piece]) -> dict[str, Transcript]:
    """Return what each run says in all."""
    said: dict[str, Transcript] = {}
    for piece in pieces:
        said.setdefault(piece.run, Transcript()).add(piece)
    return said


def generation_rows(
    said: Mapping[str, Transcript], model: str, prompt: str, steering: str, seed: int
) -> Rows:
    """Return one row a run; `steering` is empty for the clean one."""

    def rows() -> Iterator[tuple[object, ...]]:
        for run, one in said.items():
            what = steering if run == "steered" else ""
            yield (model, run, what, prompt, one.text, one.n_tokens, one.ended, seed)

    return Rows(COLUMNS, rows())


def stream(pieces: Iterable[Piece], terminal: Console, prompt: str, steering: str = "") -> None:
    """Print one run's text as it comes, after the prompt; `steering` says what was done to it."""
    said = Transcript()
    terminal.print(Text(lines(prompt), "faint"), end="", soft_wrap=True)
    for piece in pieces:
        said.add(piece)
        if piece.text:
            terminal.print(Text(lines(piece.text)), end="", soft_wrap=True)
    facts = ", ".join([said.ending, *([visible(steering)] if steering else [])])
    terminal.print(Text(f"\n\n{facts}", "faint"))


def stream_beside(
    pieces: Iterable[Piece], terminal: Console, prompt: str, titles: Mapping[str, str]
) -> None:
    """Print the runs' texts in columns as they come.

    Args:
        pieces: of all runs.
        terminal: where to.
        prompt: what is continued.
        titles: run → the head of its column.
    """
    said = {run: Transcript() for run in titles}
    terminal.print(Text(lines(prompt), "faint"), soft_wrap=True)
    terminal.print()
    if not terminal.is_terminal:
        for piece in pieces:
            said[piece.run].add(piece)
        terminal.print(_beside(said, titles, terminal.width), crop=False)
        return
    page = _beside(said, titles, terminal.width)
    with Live(page, console=terminal, vertical_overflow="visible", auto_refresh=False) as live:
        for piece in pieces:
            said[piece.run].add(piece)
            live.update(_beside(said, titles, terminal.width), refresh=True)


def _beside(
    said: Mapping[str, Transcript], titles: Mapping[str, str], width: int
) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="heading")
    for run in said:
        table.add_column(visible(titles[run]), width=width // len(said) - 3, overflow="fold")
    table.add_row(*(Text(lines(one.text).strip()) for one in said.values()))
    endings = Table.grid(padding=(0, 3, 0, 0))
    for _ in said:
        endings.add_column(width=width // len(said) - 3)
    endings.add_row(*(Text(one.ending if one.ended else "", "faint") for one in said.values()))
    return Group(table, Text(), endings)


def lines(text: str) -> str:
    """Return a text in which nothing acts on the terminal but ends of lines."""
    return "\n".join(visible(line) for line in text.split("\n"))
