"""Batches hold every text once, in an order that follows from the texts alone."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ingest.forward import batch_tokens, batching, make_batches

CPU = torch.device("cpu")


def random_texts(*lengths: int, seed: int = 0) -> list[NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(3, 512, size=length) for length in lengths]


def test_batches_hold_every_text_once_and_no_more_than_asked() -> None:
    lengths = np.random.default_rng(0).integers(0, 40, size=50)
    texts = [np.arange(3, 3 + length) for length in lengths]
    ordinals = np.random.default_rng(1).permutation(1000)[:50]
    seen = list(make_batches(texts, CPU, 100, ordinals))
    found = {}
    for batch in seen:
        assert batch.token_ids.numel() <= 100
        assert batch.ordinals.tolist() == sorted(batch.ordinals.tolist())
        assert batch.n_tokens == batch.lengths.sum()
        for row, length, ordinal in zip(
            batch.token_ids, batch.lengths, batch.ordinals, strict=True
        ):
            assert not row[length:].any()
            found[int(ordinal)] = row[:length].tolist()
    assert found == {int(o): text.tolist() for o, text in zip(ordinals, texts, strict=True)}
    again = list(make_batches(texts, CPU, 100, ordinals))
    assert [b.ordinals.tolist() for b in seen] == [b.ordinals.tolist() for b in again]


def test_the_order_of_batches_depends_on_ordinals_not_on_places() -> None:
    texts, ordinals = random_texts(4, 9, 4, 4, 2), np.array([7, 3, 5, 1, 8])
    shuffle = np.array([3, 1, 4, 0, 2])
    mixed = make_batches([texts[i] for i in shuffle], CPU, 9, ordinals[shuffle])
    for one, other in zip(make_batches(texts, CPU, 9, ordinals), mixed, strict=True):
        assert torch.equal(one.ordinals, other.ordinals)
        assert torch.equal(one.token_ids, other.token_ids)


def test_a_text_longer_than_a_batch_is_one_of_its_own() -> None:
    sizes = [list(batch.token_ids.shape) for batch in make_batches(random_texts(2, 30, 3), CPU, 10)]
    assert sizes == [[1, 30], [2, 3]]
    assert list(make_batches([], CPU, 10)) == []


@pytest.mark.parametrize(("gib", "n_tokens"), [(24, 8192), (80, 32_768), (141, 32_768)])
def test_batches_are_of_a_cards_memory(
    gib: int, n_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, gib * 2**30))
    batching._measure_card.cache_clear()
    try:
        assert batch_tokens(torch.device("cuda", 0)) == n_tokens
    finally:
        batching._measure_card.cache_clear()


def test_a_machine_without_cards_plans_for_large_ones() -> None:
    if torch.cuda.is_available():
        pytest.skip("there are cards")
    assert batch_tokens(torch.device("cuda")) == 32_768
