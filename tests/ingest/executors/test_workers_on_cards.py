"""Workers on cards: each takes its own, by its number or as the only one that it sees."""

import pytest
import torch

from ingest.executors.child import make_worker
from tests.support.pretend_card import pretend_cards


@pytest.mark.parametrize("name", ["cuda:1", "cuda", "cpu"])
def test_a_worker_is_made_for_each_kind_of_name(name: str) -> None:
    told: list[tuple[int, str]] = []
    with pretend_cards(2):
        worker = make_worker(name, lambda n, detail: told.append((n, detail)), print)
        assert str(worker.device) == name
        worker.advance(3, "x")
    assert told == [(3, "x")]
    assert torch.get_float32_matmul_precision() == "highest"
