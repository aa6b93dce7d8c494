"""The texts called sampler: their kinds and size, and that they go by their name."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from ingest.bundled import DATASETS, SAMPLER
from ingest.checkpoint.gguf.reader import open_gguf
from ingest.checkpoint.gguf.sidecar import ensure_sidecar
from ingest.text.datasets import read_dataset
from ingest.text.tokenizer import Tokenizer
from tests.support.real_models import real_model

PAGE = Path(__file__).parents[3] / "docs" / "sampler.md"


def rows() -> list[dict[str, str]]:
    lines = DATASETS[SAMPLER].read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_every_line_is_a_text_of_its_own_with_a_kind() -> None:
    found = rows()
    assert all(set(row) == {"label", "text"} for row in found)
    assert 240 <= len(found) <= 270
    assert len({row["label"] for row in found}) >= 12
    assert min(Counter(row["label"] for row in found).values()) >= 8
    assert len({" ".join(row["text"].split()) for row in found}) == len(found)
    assert all(row["text"] == row["text"].strip() for row in found)
    # Three to four characters make a token of such texts.
    assert 30_000 * 3 < sum(len(row["text"]) for row in found) < 40_000 * 4


def test_it_is_read_by_its_name() -> None:
    dataset = read_dataset("sampler")
    assert (dataset.name, dataset.source) == ("sampler", "sampler")
    assert list(dataset.texts) == [row["text"] for row in rows()]
    assert [dataset.labels[place] for place in dataset.label_of] == [r["label"] for r in rows()]
    assert len(read_dataset("sampler", max_texts=3).texts) == 3


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_what_lies_here_under_that_name_goes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if kind == "file":
        Path("sampler.txt").write_text("mine")
        assert list(read_dataset("sampler.txt").texts) == ["mine"]
        assert len(read_dataset("sampler").texts) > 200
        return
    Path("sampler").mkdir()
    Path("sampler/a.txt").write_text("mine")
    assert list(read_dataset("sampler").texts) == ["mine"]


def test_the_page_counts_what_is_there() -> None:
    kinds = Counter(row["label"] for row in rows())
    told = re.findall(r"^\| `(\w+)` \| (\d+) \| ([\d,]+) \|", PAGE.read_text(), re.MULTILINE)
    assert {kind: int(n) for kind, n, _ in told} == dict(kinds)


@pytest.mark.real
def test_the_page_counts_the_tokens() -> None:
    file = open_gguf(real_model("SmolLM2-135M-Instruct.Q4_1.gguf"))
    tokenizer = Tokenizer(ensure_sidecar(file))
    dataset = read_dataset("sampler")
    ids, _ = tokenizer.encode(dataset.texts, 100_000)
    counts: Counter[str] = Counter()
    for place, one in zip(dataset.label_of, ids, strict=True):
        counts[dataset.labels[place]] += len(one) - 1  # without <|im_start|> in front
    told = re.findall(r"^\| `(\w+)` \| (\d+) \| ([\d,]+) \|", PAGE.read_text(), re.MULTILINE)
    assert {kind: int(n.replace(",", "")) for kind, _, n in told} == dict(counts)
    assert 30_000 < sum(counts.values()) < 40_000
