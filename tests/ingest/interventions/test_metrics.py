"""Loss, entropy and rank against float64; what counts."""

import numpy as np
import pytest
import torch

from ingest.forward import Batch
from ingest.interventions import metrics
from ingest.interventions.metrics import CountedTokens, compute_token_metrics


def logits(n: int, d_vocab: int, scale: float, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d_vocab, generator=torch.Generator().manual_seed(seed)) * scale


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0, 1000.0])
@pytest.mark.parametrize("d_vocab", [3, 512, 262_144])
def test_float64_says_the_same(scale: float, d_vocab: int) -> None:
    rows = logits(7, d_vocab, scale)
    targets = torch.tensor([0, 1, 2, d_vocab - 1, 1, 0, -1])
    loss, entropy, rank = compute_token_metrics(
        lambda at: rows[at[:, 0].long()], _numbers(7), targets, d_vocab
    )

    exact = rows.double()
    log_p = exact.log_softmax(1)
    wanted = -log_p.gather(1, targets.clamp(min=0)[:, None])[:, 0]
    assert np.allclose(loss[:-1], wanted[:-1], rtol=1e-6, atol=1e-5)
    assert np.allclose(entropy, -(log_p.exp() * log_p).sum(1), rtol=0, atol=1e-5)
    larger = (exact > exact.gather(1, targets.clamp(min=0)[:, None])).sum(1)
    assert rank[:-1].tolist() == larger[:-1].tolist()
    assert loss[-1].isnan()
    assert rank[-1].isnan()


def _numbers(n: int) -> torch.Tensor:
    return torch.arange(n, dtype=torch.float32)[:, None]


def test_chunks_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, targets = logits(50, 64, 3.0), torch.arange(50)

    def found() -> torch.Tensor:
        return compute_token_metrics(
            lambda at: rows[at[:, 0].long()].clone(), _numbers(50), targets, 64
        )

    whole = found()
    monkeypatch.setattr(metrics, "_SIZES", ({"cpu": 7 * 64}, {"cpu": 3 * 64}))
    assert torch.equal(found(), whole)


def test_a_token_without_probability_adds_nothing_to_the_entropy() -> None:
    rows = torch.tensor([[0.0, 0.0, -torch.inf, -torch.inf]])
    _, entropy, rank = compute_token_metrics(
        lambda _: rows.clone(), _numbers(1), torch.tensor([1]), 4
    )
    assert entropy.item() == pytest.approx(np.log(2), abs=1e-6)
    assert rank.item() == 0


def test_equal_logits_are_not_larger() -> None:
    rows = torch.tensor([[2.0, 1.0, 2.0, 2.0]])
    found = compute_token_metrics(lambda _: rows.clone(), _numbers(1), torch.tensor([2]), 4)
    assert found[2].item() == 0


def test_no_token_is_no_work() -> None:
    found = compute_token_metrics(
        lambda at: at, torch.empty(0, 4), torch.empty(0, dtype=torch.int64), 9
    )
    assert found.shape == (3, 0)


def test_padding_and_first_positions() -> None:
    ids = torch.tensor([[1, 5, 6, 7], [1, 8, 0, 0], [1, 0, 0, 0]])
    batch = Batch(ids, torch.tensor([4, 2, 1]), torch.arange(3))
    counted = CountedTokens.from_batch(batch, skip_bos=False)
    assert counted.mask.tolist() == [[True] * 4, [True] * 2 + [False] * 2, [True] + [False] * 3]
    assert counted.next_token.tolist() == [5, 6, 7, -1, 8, -1, -1]
    rest = CountedTokens.from_batch(batch, skip_bos=True)
    assert rest.mask.sum(1).tolist() == [3, 1, 0]
    assert rest.next_token.tolist() == [6, 7, -1, -1]
