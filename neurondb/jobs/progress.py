"""How a job tells what it is doing."""

from contextlib import AbstractContextManager
from typing import Protocol


class Advance(Protocol):
    """What a bar is moved with."""

    def __call__(self, n: int, detail: str = "") -> None:
        """Count `n` units as finished just now; `detail` says what is being done on the next."""
        ...


class Progress(Protocol):
    """How a job tells what it is doing."""

    def stage(
        self, title: str, total: int, unit: str, *, done: int = 0
    ) -> AbstractContextManager[Advance]:
        """Open a bar of `total` units; call what it yields with the units just finished.

        `done` units were finished by an earlier run: rate and time left do not count them.
        """
        ...

    def note(self, message: str) -> None:
        """Say one line."""
        ...
