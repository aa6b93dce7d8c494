"""Storing in a thread what was computed, while the next is being computed."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Final, TypeVar

T = TypeVar("T")

MAX_WAITING: Final = 1
"""Items that may wait while another is being stored: each is held in memory."""


@contextmanager
def write_in_background(
    store: Callable[[T], None], ahead: int = MAX_WAITING
) -> Iterator[Callable[[T], None]]:
    """Yield a function that hands items to `store`, which runs in a thread of its own, in order.

    At the end all items are stored. What `store` raises is raised by the next item handed over, or
    at the end, and nothing is stored after it. When the block raises, items that wait are stored
    first, since they are finished; when it is interrupted they are not, only the one under way.
    Either way what the block raised is what is heard of.

    Args:
        store: Stores one item; it is never called twice at a time.
        ahead: How many items may wait; handing over one more waits until one is stored.
    """
    failed = Event()
    unfinished: deque[Future[None]] = deque()

    def store_unless_failed(item: T) -> None:
        if failed.is_set():
            return
        try:
            store(item)
        except BaseException:
            failed.set()
            raise

    def put(item: T) -> None:
        while unfinished and (len(unfinished) > ahead or unfinished[0].done()):
            unfinished.popleft().result()
        unfinished.append(executor.submit(store_unless_failed, item))

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="writing") as executor:
        try:
            yield put
            while unfinished:
                unfinished.popleft().result()
        except BaseException as error:
            if not isinstance(error, Exception):
                executor.shutdown(wait=False, cancel_futures=True)  # leaving the block waits
            raise
