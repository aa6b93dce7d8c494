"""Progress of long work on stderr: bars with rate and time left on a terminal, lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class RateColumn(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        """Return e.g. `1,204 tokens/s`."""
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        number = f"{speed:,.0f}" if speed >= 10 else f"{speed:.1f}"
        return Text(f"{number} {task.fields['unit']}/s", style="progress.data.speed")


class BarProgress:
    """One bar a stage."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, title: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        """Show a bar while the stage runs; nothing for a stage without work."""
        if total == 0:
            yield lambda _: None
            return
        bar = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description:<20}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            RateColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
        )
        with bar:
            task = bar.add_task(title, total=total, unit=unit)
            yield lambda n: bar.advance(task, n)

    def note(self, message: str) -> None:
        """Print one line above the bars."""
        self._console.print(message, style="dim", markup=False, highlight=False)


class LineProgress:
    """Lines for logs: a stage's start and end, and its state every so often."""

    EVERY_S = 10.0

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, title: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        """Print a line now and then while the stage runs; nothing for a stage without work."""
        if total == 0:
            yield lambda _: None
            return
        started = said = time.monotonic()
        done = 0

        def advance(n: int) -> None:
            nonlocal done, said
            done += n
            now = time.monotonic()
            if now - said >= self.EVERY_S:
                said = now
                rate = done / (now - started)
                self.note(
                    f"{title}: {done:,} of {total:,} {unit}, {rate:,.0f} {unit}/s, "
                    f"{(total - done) / rate:,.0f} s left"
                )

        yield advance
        self.note(f"{title}: {done:,} {unit} in {time.monotonic() - started:.1f} s")

    def note(self, message: str) -> None:
        """Print one line."""
        self._console.print(message, markup=False, highlight=False)


def progress_on(console: Console) -> BarProgress | LineProgress:
    """Return bars for a terminal, lines for anything else."""
    return BarProgress(console) if console.is_terminal else LineProgress(console)
