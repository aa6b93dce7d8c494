"""Ctrl-C where Python cannot raise it: in finalisers, and in what a library calls back."""

import ctypes
import signal
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from neurondb.cli.interrupts import heed_lost_interrupts


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, also in a background job, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Finalised:
    """Is interrupted while it is taken away."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def finalise() -> None:
    one = Finalised()
    del one


def call_back() -> None:
    def interrupted(_left: object, _right: object) -> int:
        signal.raise_signal(signal.SIGINT)
        return 0

    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(interrupted)
    numbers = (ctypes.c_int * 2)(2, 1)
    ctypes.CDLL(None).qsort(numbers, 2, ctypes.sizeof(ctypes.c_int), compare)


def lose_and_wait(lose: Callable[[], None]) -> None:
    with heed_lost_interrupts():
        lose()
        time.sleep(10)


@pytest.mark.parametrize("lose", [finalise, call_back])
def test_an_interrupt_that_was_lost_comes_again(
    lose: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    before = sys.unraisablehook
    with pytest.raises(KeyboardInterrupt):
        lose_and_wait(lose)
    assert sys.unraisablehook is before
    assert capsys.readouterr().err == ""


def test_other_errors_of_finalisers_are_told_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __del__(self) -> None:
            raise ZeroDivisionError

    heard: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: heard.append(lost.exc_type))
    with heed_lost_interrupts():
        one = Broken()
        del one
    assert heard == [ZeroDivisionError]
