"""Rate, time left and detail, as bars on a terminal and as lines in a log."""

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress

from neurondb.terminal import progress
from neurondb.terminal.progress import BarProgress, LineProgress, StageClock, choose_progress


class Clock:
    """A clock that tests set."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Eager(Progress):
    """Draws at every step rather than ten times a second."""

    def update(self, *args: Any, **fields: Any) -> None:
        super().update(*args, **fields)
        self.refresh()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(progress, "Progress", Eager)
    return clock


def console(width: int, *, terminal: bool) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)


def shown(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())
    return [line.rstrip() for line in re.split(r"[\r\n]+", plain) if line.strip()]


def test_an_earlier_run_counts_into_neither_rate_nor_time_left(clock: Clock) -> None:
    pace = StageClock(1000, "tokens", done=600)
    assert (pace.rate, pace.time_left) == (None, None)
    clock.now += 10
    pace.advance(100)
    assert (pace.done, pace.rate, pace.time_left) == (700, 10.0, 30.0)


def test_time_left_runs_while_a_long_unit_is_under_way(clock: Clock) -> None:
    pace = StageClock(3, "layers")
    clock.now += 60
    pace.advance(1)
    clock.now += 45
    pace.advance(0, "forward 75%")
    assert pace.rate == pytest.approx(1 / 60)
    assert pace.time_left == pytest.approx(75)
    clock.now += 1000
    assert pace.time_left == 0


def test_lines_tell_rate_time_left_and_detail(clock: Clock) -> None:
    log = console(80, terminal=False)
    with LineProgress(log).stage("activations", 100_000, "tokens", done=40_000) as advance:
        clock.now += 5
        advance(5_000, "too early to say")
        clock.now += 5
        advance(5_000, "forward 81%")
        clock.now += 50
        advance(50_000)
    assert shown(log) == [
        "activations: 50,000 of 100,000 tokens, 1,000 tokens/s, 0:00:50 left, forward 81%",
        "activations: 100,000 of 100,000 tokens, 1,000 tokens/s, 0:00:00 left",
        "activations: 100,000 tokens (40,000 of them earlier) in 60.0 s, 1,000 tokens/s",
    ]


def test_a_line_before_the_first_unit_has_no_rate(clock: Clock) -> None:
    log = console(80, terminal=False)
    with LineProgress(log).stage("activations", 100, "tokens") as advance:
        clock.now += 11
        advance(0, "forward 3%")
    assert shown(log)[0] == "activations: 0 of 100 tokens, forward 3%"


@pytest.mark.parametrize("kind", [BarProgress, LineProgress])
@pytest.mark.parametrize("done", [0, 7])
def test_a_stage_without_work_is_not_shown(
    kind: Callable[[Console], BarProgress | LineProgress], done: int
) -> None:
    log = console(80, terminal=True)
    with kind(log).stage("activations", done, "tokens", done=done) as advance:
        advance(0)
        advance(0, "detail")
    assert shown(log) == []


def bars(clock: Clock, width: int, total: int) -> list[str]:
    terminal = console(width, terminal=True)
    with BarProgress(terminal).stage("writing activations", total, "tokens") as advance:
        clock.now += 100
        advance(total // 2, "forward 100%")
        clock.now += 100
        advance(total - total // 2)
    return shown(terminal)


def test_a_bar_fits_in_80_columns(clock: Clock) -> None:
    lines = bars(clock, 80, 12_345_678)
    half = next(line for line in lines if " 50%" in line)
    assert half.endswith(" 50%  61,728 tokens/s 0:01:40 left forward 100%")
    assert lines[-1].endswith("100%  61,728 tokens/s in 0:03:20")
    assert all(len(line) <= 80 for line in lines)


def test_a_wide_bar_has_the_counts(clock: Clock) -> None:
    lines = bars(clock, 140, 12_345_678)
    assert any(" 6,172,839/12,345,678  61,728 tokens/s 0:01:40" in line for line in lines)
    assert all(len(line) <= 140 for line in lines)


def test_a_narrow_terminal_keeps_the_bar_on_its_line(clock: Clock) -> None:
    assert all(len(line) <= 40 for line in bars(clock, 40, 12_345_678))


def test_bars_are_for_terminals() -> None:
    assert isinstance(choose_progress(console(80, terminal=True)), BarProgress)
    assert isinstance(choose_progress(console(80, terminal=False)), LineProgress)
