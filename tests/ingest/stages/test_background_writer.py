"""Storing while computing: order, bounds, and what is heard of when either side fails."""

import threading
import time

import pytest

from ingest.stages.background_writer import write_in_background


def test_items_are_stored_in_order_in_one_other_thread() -> None:
    stored: list[tuple[int, int]] = []

    def store(item: int) -> None:
        stored.append((item, threading.get_ident()))

    with write_in_background(store) as put:
        for item in range(50):
            put(item)
    assert [item for item, _ in stored] == list(range(50))
    threads = {thread for _, thread in stored}
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_storing_goes_on_while_the_next_is_computed() -> None:
    storing_it, computed = threading.Event(), threading.Event()

    def store(item: int) -> None:
        storing_it.set()
        assert computed.wait(10)

    with write_in_background(store) as put:
        put(1)
        assert storing_it.wait(10)  # it has begun and waits for us
        computed.set()


@pytest.mark.parametrize("ahead", [1, 3])
def test_no_more_than_ahead_wait(ahead: int) -> None:
    go_on = threading.Event()
    handed = 0

    def store(item: int) -> None:
        go_on.wait(10)

    def produce() -> None:
        nonlocal handed
        with write_in_background(store, ahead) as put:
            for item in range(10):
                put(item)
                handed += 1

    producer = threading.Thread(target=produce)
    producer.start()
    deadline = time.monotonic() + 10
    while handed < ahead + 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert handed == ahead + 1  # one is being stored
    go_on.set()
    producer.join()
    assert handed == 10


def fail_at(bad: int, stored: list[int]) -> None:
    def store(item: int) -> None:
        if item == bad:
            raise OSError("the disk is full")
        stored.append(item)

    with write_in_background(store) as put:
        for item in range(100):
            put(item)


@pytest.mark.parametrize("bad", [0, 7, 99])
def test_an_error_of_storing_ends_both_and_nothing_is_stored_after_it(bad: int) -> None:
    stored: list[int] = []
    with pytest.raises(OSError, match="the disk is full"):
        fail_at(bad, stored)
    assert stored == list(range(bad))


def test_an_error_of_computing_is_heard_and_what_was_finished_is_stored() -> None:
    stored: list[int] = []

    def compute() -> None:
        with write_in_background(stored.append, ahead=3) as put:
            for item in range(3):
                put(item)
            raise ValueError("no such tensor")

    with pytest.raises(ValueError, match="no such tensor"):
        compute()
    assert stored == [0, 1, 2]


def test_an_interrupt_leaves_what_waits_and_finishes_what_is_under_way() -> None:
    stored: list[int] = []
    under_way = threading.Event()

    def store(item: int) -> None:
        under_way.set()
        time.sleep(0.2)
        stored.append(item)

    def compute() -> None:
        with write_in_background(store, ahead=3) as put:
            for item in range(3):
                put(item)
            assert under_way.wait(10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute()
    assert stored == [0]


def test_where_both_fail_the_error_of_computing_is_heard() -> None:
    def store(item: int) -> None:
        raise OSError("the disk is full")

    def compute() -> None:
        with write_in_background(store) as put:
            put(0)
            time.sleep(0.1)
            raise ValueError("no such tensor")

    with pytest.raises(ValueError, match="no such tensor"):
        compute()


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    with pytest.raises(OSError, match="full"):
        fail_at(3, [])
    assert threading.active_count() == before
