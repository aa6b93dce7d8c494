"""Progress of long work on stderr: bars with rate and time left on a terminal, lines elsewhere.

Spinner, title and bar are rich's columns; what stands right of them is ours. Rich's own rate is of
a window of seconds and starts with the second advance, and its time left stands still between two
advances: a layer of an 8B model takes minutes. Rich's columns are also all shown or all squeezed,
where ours leave out the least important ones.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

from neurondb.contracts.progress import Advance

ROOMY: Final = 110
"""Columns from which a bar is long and the counts of tokens stand beside it."""
TITLE: Final = len("writing activations")
RATE: Final = len("999,999 tokens/s")


class StageClock:
    """How far a stage is, how fast it goes, and how long it will still take, in seconds.

    Units that an earlier run has done count into neither the rate nor the time left. The rate is
    the mean since the stage began: steps of minutes would leave a window of seconds empty.
    """

    def __init__(self, total: int, unit: str, done: int = 0) -> None:
        self.total = total
        self.unit = unit
        self.done = self.earlier = done
        self.detail = ""
        self._started = self._advanced = time.monotonic()

    def advance(self, n: int, detail: str = "") -> None:
        """Count `n` units as finished just now; `detail` says what is under way."""
        self.detail = detail
        if n:
            self.done += n
            self._advanced = time.monotonic()

    @property
    def elapsed(self) -> float:
        """The seconds since the stage began."""
        return time.monotonic() - self._started

    @property
    def rate(self) -> float | None:
        """The units a second that this run does; None before the first."""
        spent = self._advanced - self._started
        return (self.done - self.earlier) / spent if self.done > self.earlier and spent else None

    @property
    def time_left(self) -> float | None:
        """The seconds until the last unit at this rate; None before the first."""
        if self.rate is None:
            return None
        # The unit under way has used up some of it: the clock runs between two advances too.
        since = time.monotonic() - self._advanced
        return max((self.total - self.done) / self.rate - since, 0.0)


class ConsoleProgress(ABC):
    """A `contracts.progress.Progress` on a console; its subclasses say how a stage looks."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def stage(self, title: str, total: int, unit: str, *, done: int = 0) -> Iterator[Advance]:
        """Show a stage while it runs; nothing for one without work."""
        if total <= done:
            yield lambda n, detail="": None
            return
        clock = StageClock(total, unit, done)
        with self.show(title, clock) as advance:
            yield advance

    @abstractmethod
    def show(self, title: str, clock: StageClock) -> AbstractContextManager[Advance]:
        """Show a stage until it ends; what is yielded counts its units."""

    @abstractmethod
    def note(self, message: str) -> None:
        """Print one line of text."""


class BarProgress(ConsoleProgress):
    """One bar a stage, for terminals."""

    @contextmanager
    def show(self, title: str, clock: StageClock) -> Iterator[Advance]:
        """Show a bar until the stage ends."""
        bar = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn(f"{{task.description:<{TITLE}}}", markup=False),
            BarColumn(bar_width=_choose_bar_width(self.console)),
            FactsColumn(self.console, clock),
            console=self.console,
        )
        with bar:
            task = bar.add_task(title, total=clock.total, completed=clock.done)

            def advance(n: int, detail: str = "") -> None:
                clock.advance(n, detail)
                bar.update(task, completed=clock.done)

            yield advance

    def note(self, message: str) -> None:
        """Print one line above the bars."""
        self.console.print(message, style="dim", markup=False, highlight=False)


class FactsColumn(ProgressColumn):
    """Right of the bar: share or count, rate, time left, detail; as many as there is room for."""

    def __init__(self, console: Console, clock: StageClock) -> None:
        super().__init__()
        self._console = console
        self._clock = clock

    def render(self, task: Task) -> Text:
        """Return e.g. ` 34%   1,204 tokens/s 0:12:51 left forward 81%`."""
        clock, width = self._clock, self._console.width
        room = width - len("✓ ") - TITLE - 1 - _choose_bar_width(self._console) - 1
        digits = len(f"{clock.total:,}")
        # Large counts at 80 columns would leave no room for rate, time and detail.
        share = (
            f"{clock.done:>{digits},}/{clock.total:,}"
            if digits <= 3 or width >= ROOMY
            else f"{clock.done / clock.total:>4.0%}"
        )
        facts = [
            (share, "progress.percentage"),
            (_format_rate(clock).rjust(RATE), "progress.data.speed"),
            (f"in {_format_clock(clock.elapsed)}", "progress.elapsed")
            if task.finished
            else (f"{_format_clock(clock.time_left)} left", "progress.remaining"),
            ("" if task.finished else clock.detail, ""),
        ]
        text = Text(no_wrap=True, overflow="crop")
        for fact, style in facts:
            if fact and len(text) + 1 + len(fact) <= room + (not text):
                text.append(" " * bool(text)).append(fact, style)
        return text


class LineProgress(ConsoleProgress):
    """Lines for logs: a stage's state every `EVERY_S` seconds at most, and its end."""

    EVERY_S: Final = 10.0

    @contextmanager
    def show(self, title: str, clock: StageClock) -> Iterator[Advance]:
        """Print a line now and then, and one when the stage ends."""
        printed = 0.0

        def advance(n: int, detail: str = "") -> None:
            nonlocal printed
            clock.advance(n, detail)
            if clock.elapsed - printed >= self.EVERY_S:
                printed = clock.elapsed
                self.note(f"{title}: {_format_state(clock)}")

        yield advance
        earlier_note = f" ({clock.earlier:,} of them earlier)" if clock.earlier else ""
        rate = f", {_format_rate(clock)}" if clock.rate is not None else ""
        self.note(
            f"{title}: {clock.done:,} {clock.unit}{earlier_note} in {clock.elapsed:.1f} s{rate}"
        )

    def note(self, message: str) -> None:
        """Print one line of text."""
        self.console.print(message, markup=False, highlight=False, soft_wrap=True)


def choose_progress(console: Console) -> BarProgress | LineProgress:
    """Return bars for a terminal, lines for anything else."""
    return BarProgress(console) if console.is_terminal else LineProgress(console)


def _choose_bar_width(console: Console) -> int:
    return 24 if console.width >= ROOMY else 8


def _format_state(clock: StageClock) -> str:
    parts = [f"{clock.done:,} of {clock.total:,} {clock.unit}"]
    if clock.time_left is not None:
        parts += [_format_rate(clock), f"{_format_clock(clock.time_left)} left"]
    return ", ".join(parts + [clock.detail] * bool(clock.detail))


def _format_rate(clock: StageClock) -> str:
    if clock.rate is None:
        return ""
    number = f"{clock.rate:,.0f}" if clock.rate >= 10 else f"{clock.rate:.3g}"
    return f"{number} {clock.unit}/s"


def _format_clock(seconds: float | None) -> str:
    if seconds is None:
        return "-:--:--"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
