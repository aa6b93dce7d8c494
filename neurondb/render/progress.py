"""Progress of long work on stderr: bars with rate and time left on a terminal, lines elsewhere."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

from neurondb.jobs import Advance

ROOMY: Final = 110
"""Columns from which a bar is long and the counts of tokens stand beside it."""
TITLE: Final = len("writing activations")
RATE: Final = len("999,999 tokens/s")


class Pace:
    """How fast a stage goes; the `done` units of an earlier run count into neither rate nor time.

    The rate is the mean since the stage began: steps of minutes would leave a window of seconds
    empty. Times are in seconds.
    """

    def __init__(self, total: int, unit: str, done: int = 0) -> None:
        self.total = total
        self.unit = unit
        self.done = self.earlier = done
        self.detail = ""
        self._started = self._advanced = time.monotonic()

    def advance(self, n: int, detail: str = "") -> None:
        """Count `n` units as finished just now."""
        self.detail = detail
        if n:
            self.done += n
            self._advanced = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Time since the stage began."""
        return time.monotonic() - self._started

    @property
    def rate(self) -> float | None:
        """Units a second of this run; None before the first."""
        spent = self._advanced - self._started
        return (self.done - self.earlier) / spent if self.done > self.earlier and spent else None

    @property
    def left(self) -> float | None:
        """Time until the last unit, as the rate has it; None before the first."""
        if self.rate is None:
            return None
        # The unit under way has used up some of it: the clock runs between two advances too.
        since = time.monotonic() - self._advanced
        return max((self.total - self.done) / self.rate - since, 0.0)


class Stages(ABC):
    """A `neurondb.jobs.Progress` on a console; how a stage looks is left to the kinds of it."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def stage(self, title: str, total: int, unit: str, *, done: int = 0) -> Iterator[Advance]:
        """Show a stage while it runs; nothing for one without work."""
        if total <= done:
            yield lambda n, detail="": None
            return
        pace = Pace(total, unit, done)
        with self.shown(title, pace) as advance:
            yield advance

    @abstractmethod
    def shown(self, title: str, pace: Pace) -> AbstractContextManager[Advance]:
        """Show a stage as it goes."""

    @abstractmethod
    def note(self, message: str) -> None:
        """Say one line."""


class BarProgress(Stages):
    """One bar a stage."""

    @contextmanager
    def shown(self, title: str, pace: Pace) -> Iterator[Advance]:
        """Show a bar."""
        bar = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn(f"{{task.description:<{TITLE}}}", markup=False),
            BarColumn(bar_width=_bar_width(self.console)),
            FactsColumn(self.console, pace),
            console=self.console,
        )
        with bar:
            task = bar.add_task(title, total=pace.total, completed=pace.done)

            def advance(n: int, detail: str = "") -> None:
                pace.advance(n, detail)
                bar.update(task, completed=pace.done)

            yield advance

    def note(self, message: str) -> None:
        """Print one line above the bars."""
        self.console.print(message, style="dim", markup=False, highlight=False)


class FactsColumn(ProgressColumn):
    """Right of the bar: share or count, rate, time left, detail; as many as there is room for."""

    def __init__(self, console: Console, pace: Pace) -> None:
        super().__init__()
        self._console = console
        self._pace = pace

    def render(self, task: Task) -> Text:
        """Return e.g. ` 34%   1,204 tokens/s 0:12:51 left forward 81%`."""
        pace, width = self._pace, self._console.width
        room = width - len("✓ ") - TITLE - 1 - _bar_width(self._console) - 1
        digits = len(f"{pace.total:,}")
        # Large counts at 80 columns would leave no room for rate, time and detail.
        share = (
            f"{pace.done:>{digits},}/{pace.total:,}"
            if digits <= 3 or width >= ROOMY
            else f"{pace.done / pace.total:>4.0%}"
        )
        facts = [
            (share, "progress.percentage"),
            (_rate(pace).rjust(RATE), "progress.data.speed"),
            (f"in {_clock(pace.elapsed)}", "progress.elapsed")
            if task.finished
            else (f"{_clock(pace.left)} left", "progress.remaining"),
            ("" if task.finished else pace.detail, ""),
        ]
        text = Text(no_wrap=True, overflow="crop")
        for fact, style in facts:
            if fact and len(text) + 1 + len(fact) <= room + (not text):
                text.append(" " * bool(text)).append(fact, style)
        return text


class LineProgress(Stages):
    """Lines for logs: a stage's state every so often, and its end."""

    EVERY_S = 10.0

    @contextmanager
    def shown(self, title: str, pace: Pace) -> Iterator[Advance]:
        """Print a line now and then, and one at the end."""
        said = 0.0

        def advance(n: int, detail: str = "") -> None:
            nonlocal said
            pace.advance(n, detail)
            if pace.elapsed - said >= self.EVERY_S:
                said = pace.elapsed
                self.note(f"{title}: {_state(pace)}")

        yield advance
        earlier = f" ({pace.earlier:,} of them earlier)" if pace.earlier else ""
        rate = f", {_rate(pace)}" if pace.rate is not None else ""
        self.note(f"{title}: {pace.done:,} {pace.unit}{earlier} in {pace.elapsed:.1f} s{rate}")

    def note(self, message: str) -> None:
        """Print one line."""
        self.console.print(message, markup=False, highlight=False, soft_wrap=True)


def progress_on(console: Console) -> BarProgress | LineProgress:
    """Return bars for a terminal, lines for anything else."""
    return BarProgress(console) if console.is_terminal else LineProgress(console)


def _bar_width(console: Console) -> int:
    return 24 if console.width >= ROOMY else 8


def _state(pace: Pace) -> str:
    parts = [f"{pace.done:,} of {pace.total:,} {pace.unit}"]
    if pace.left is not None:
        parts += [_rate(pace), f"{_clock(pace.left)} left"]
    return ", ".join(parts + [pace.detail] * bool(pace.detail))


def _rate(pace: Pace) -> str:
    if pace.rate is None:
        return ""
    number = f"{pace.rate:,.0f}" if pace.rate >= 10 else f"{pace.rate:.3g}"
    return f"{number} {pace.unit}/s"


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "-:--:--"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
