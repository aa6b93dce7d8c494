from pathlib import Path

import torch
from hypothesis import given
from hypothesis import strategies as st

from ingest.bundled import model_directory
from tools.tinyworld.tokenization import BOS_ID, SPECIAL_TOKENS, train_tokenizer
from tools.tinyworld.train import Settings, batches, build_model, build_optimizer, pack, rate, train

SHIPPED = model_directory()
TINY = Settings(
    texts=40, heldout_texts=3, vocab_size=300, d_model=16, layers=1, d_mlp=24, steps=3, warmup=1
)


@given(
    lengths=st.lists(st.integers(min_value=1, max_value=25), max_size=120),
    length=st.integers(min_value=2, max_value=30),
)
def test_packing_keeps_documents_whole_and_rows_short(lengths: list[int], length: int) -> None:
    documents = [[number + 10] * size for number, size in enumerate(lengths)]
    rows = pack(documents, length)
    assert all(row[0] == BOS_ID and 1 < len(row) <= length for row in rows)
    for number, size in enumerate(lengths):
        holding = [row for row in rows if number + 10 in row]
        assert len(holding) == 1
        assert holding[0].count(number + 10) == min(size, length - 1)


def test_batches_follow_from_the_seed() -> None:
    documents = [[number] * 20 for number in range(50)]
    settings_ = Settings(context=64, batch=2)
    first, second = (batches(documents, settings_) for _ in range(2))
    other = batches(documents, Settings(seed=1, context=64, batch=2))
    for _ in range(20):
        batch = next(first)
        assert torch.equal(batch, next(second))
        assert batch.shape[0] == 2
    assert not torch.equal(batch, next(other))


def test_learning_rate_rises_then_falls_to_nothing() -> None:
    rates = [rate(step, Settings()) for step in range(Settings.steps)]
    peak = rates.index(max(rates))
    assert max(rates) == 1
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] < 1e-5


def test_only_linear_layers_decay() -> None:
    model = build_model(TINY)
    groups = build_optimizer(model, TINY).param_groups
    decaying = {id(p) for g in groups if g["weight_decay"] for p in g["params"]}
    names = {name for name, p in model.named_parameters() if id(p) in decaying}
    assert names == {name for name, _ in model.named_parameters() if "_proj" in name}
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_training_twice_gives_the_same_files(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    for name in ("one", "two"):
        train(tmp_path / name, TINY)
    torch.set_num_threads(threads)
    written = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert written == sorted(path.name for path in SHIPPED.iterdir())
    for name in written:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_small_vocabulary_still_holds_every_byte() -> None:
    tokenizer = train_tokenizer(["a dog", "a dog"], vocab_size=300)
    assert [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2]
    assert tokenizer.decode(tokenizer.encode("žluťoučký 🐕").ids) == "žluťoučký 🐕"
