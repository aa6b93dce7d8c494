"""How a job says what it is doing, without knowing whether anybody looks.

The command line passes bars on a terminal, or plain lines in a pipe (`neurondb.terminal.progress`);
a notebook or a test passes whatever has these two methods.

    with progress.stage("weights", total=n_layers, unit="layers") as advance:
        for layer in range(n_layers):
            ...
            advance(1, f"layer {layer}")
"""

from contextlib import AbstractContextManager
from typing import Protocol


class Advance(Protocol):
    """The function that moves a bar.

    Numbers of units are those of the whole stage: layers, texts or files, whatever its `unit` is.
    """

    def __call__(self, n: int, detail: str = "") -> None:
        """Count `n` more units as finished; `detail` says what is being done on the next one."""
        ...


class Progress(Protocol):
    """What a job is passed to say how far it is."""

    def stage(
        self, title: str, total: int, unit: str, *, done: int = 0
    ) -> AbstractContextManager[Advance]:
        """Open a bar of `total` units and yield the function that moves it.

        `done` units were finished by an earlier run: rate and time left do not count them.
        """
        ...

    def note(self, message: str) -> None:
        """Say one line, above the bars where there are any; it stays when they are gone."""
        ...
