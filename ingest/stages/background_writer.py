"""Storing in a thread what was computed, while the next is being computed."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Thread
from typing import Final, Generic, TypeVar

T = TypeVar("T")

AHEAD: Final = 1
"""Items that may wait while another is being stored: each is held in memory."""


class _Storing(Generic[T]):
    """The thread and what waits for it; `store` runs in the thread only, one item at a time."""

    def __init__(self, store: Callable[[T], None], ahead: int) -> None:
        self.error: BaseException | None = None
        self._store = store
        self._ahead = ahead
        self._waiting: deque[T] = deque()
        self._finished = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="storing")
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand an item over, once fewer than `ahead` wait; raises what storing another raised."""
        with self._changed:
            self._changed.wait_for(lambda: self.error or len(self._waiting) < self._ahead)
            if self.error is not None:
                raise self.error
            self._waiting.append(item)
            self._changed.notify_all()

    def finish(self, *, abandon: bool = False) -> None:
        """Wait until all is stored; with `abandon` only for the item that is being stored."""
        with self._changed:
            self._finished = True
            if abandon:
                self._waiting.clear()
            self._changed.notify_all()
        self._thread.join()

    def _next(self) -> T | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._finished)
            if not self._waiting:
                return None
            item = self._waiting.popleft()
            self._changed.notify_all()
            return item

    def _run(self) -> None:
        try:
            while (item := self._next()) is not None:
                self._store(item)
        except BaseException as error:  # raised again where the items come from
            with self._changed:
                self.error = error
                self._changed.notify_all()


@contextmanager
def writing_in_background(
    store: Callable[[T], None], ahead: int = AHEAD
) -> Iterator[Callable[[T], None]]:
    """Yield a function that hands items to `store`, which runs in a thread of its own, in order.

    At the end all items are stored. What `store` raises is raised by the next item handed over, or
    at the end, and nothing is stored after it. When the block raises, items that wait are stored
    first, since they are finished; when it is interrupted they are not, only the one under way.
    Either way what the block raised is what is heard of.
    """
    thread = _Storing(store, ahead)
    try:
        yield thread.put
        thread.finish()
    except BaseException as error:
        thread.finish(abandon=not isinstance(error, Exception))
        raise
    if thread.error is not None:
        raise thread.error
