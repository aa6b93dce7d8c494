"""The tokens at, before and after the peaks of examples, counted one by one from the definition."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

PLACES = {"peak": 0, "previous": -1, "next": 1}


class Peak(NamedTuple):
    """An example of hook_post: whose, and where in which text it has its peak."""

    neuron: int
    sign_case: str
    rank: int
    text: int
    position: int


class Counted(NamedTuple):
    """A token at one place of a neuron's examples."""

    neuron: int
    sign_case: str
    place: str
    rank: int
    token_id: int
    n: int
    best_rank: int


def count_one_by_one(
    peaks: Iterable[Peak], texts: Mapping[int, Sequence[int]], peak_count: int
) -> set[Counted]:
    """Return the tokens that stand at a place in `peak_count` examples, or in the strongest."""
    ranks: dict[tuple[int, str, str], dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for one in sorted(peaks, key=lambda peak: peak.rank):
        for place, offset in PLACES.items():
            position = one.position + offset
            if 0 <= position < len(texts[one.text]):
                token = int(texts[one.text][position])
                ranks[one.neuron, one.sign_case, place][token].append(one.rank)
    counted = set()
    for (neuron, case, place), tokens in ranks.items():
        strongest = min(found[0] for found in tokens.values())
        kept = [
            (-len(found), found[0], token)
            for token, found in tokens.items()
            if len(found) >= peak_count or found[0] == strongest
        ]
        for rank, (minus_count, best_rank, token) in enumerate(sorted(kept)):
            counted.add(Counted(neuron, case, place, rank, token, -minus_count, best_rank))
    return counted


def read_examples(connection: sqlite3.Connection) -> list[Peak]:
    """Return the hook_post examples of a database with one dataset."""
    rows = connection.execute(
        "SELECT neuron_id, sign_case, rank, text_id, position FROM examples "
        "WHERE quantity = 'hook_post'"
    )
    return [Peak(*row) for row in rows]


def read_token_ids(connection: sqlite3.Connection) -> dict[int, list[int]]:
    """Return the token ids of each text of a database with one model."""
    rows = connection.execute("SELECT text_id, token_ids FROM text_token_ids")
    return {text: np.frombuffer(ids, "<u4").tolist() for text, ids in rows}


def read_counted(connection: sqlite3.Connection) -> list[Counted]:
    """Return what is stored."""
    rows = connection.execute(
        "SELECT r.neuron_id, l.sign_case, l.place, r.rank, r.token_id, r.count, r.best_rank "
        "FROM peak_token_rows r JOIN peak_token_lists l ON l.list_id = r.list_id"
    )
    return [Counted(*row) for row in rows]


def assert_counted(database: Path | str, peak_count: int = 2) -> int:
    """Compare a database with its own examples and texts; return how many rows it has."""
    with sqlite3.connect(str(database)) as connection:
        stored = read_counted(connection)
        expected = count_one_by_one(
            read_examples(connection), read_token_ids(connection), peak_count
        )
    assert len(stored) == len(set(stored))
    assert set(stored) == expected
    return len(stored)
