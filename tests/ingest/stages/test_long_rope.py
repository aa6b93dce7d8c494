"""A pass over texts on either side of the length at which Phi-3 changes its rotation (LongRoPE).

transformers rotates a whole batch by one set of frequencies, so that such texts are batched apart.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import ingest.forward.batching
import ingest.stages.interrupted_pass
from ingest.checkpoint.reader import Checkpoint
from ingest.forward import Batch, Consumer, Forward
from neurondb.contracts.ingest import IngestRequest, MergeRequest
from neurondb.contracts.registry import load_job
from tests.support.ingested import Silent
from tests.support.random_models import GROUPED, build
from tests.support.rows import all_rows
from tests.support.tiny_model import write_tokenizer
from tests.support.tiny_requests import ask, run

SHORT, BATCH = 16, 60
TEXTS = (
    "The cat sat.",
    "One, two, three: the sun came up over the hills of the island, and 1984 was the year.",
    "A",
    "In the year 1984 nobody knew what the year 2024 would bring to the island of the king.",
    "the dog",
    "the cat and the dog",
)


def long_rope(section: str, kind: str) -> dict[str, object]:
    """Return what a configuration says of LongRoPE: in one of its sections, by one of its names."""
    quarter = int(GROUPED["hidden_size"]) // 4 // 2  # type: ignore[call-overload]
    rope = {"rope_theta": 10_000.0, "short_factor": [1.0] * quarter, "long_factor": [4.0] * quarter}
    name = "rope_type" if section == "rope_parameters" else "type"
    own = {"original_max_position_embeddings": SHORT}
    return {section: {**rope, name: kind, **own}, **own}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Phi-3 whose rotation changes beyond 16 tokens, with a tokenizer."""
    directory = tmp_path_factory.mktemp("phi3")
    build("phi3", {**GROUPED, **long_rope("rope_parameters", "longrope")}, directory)
    write_tokenizer(directory)
    return directory


@pytest.fixture
def request_(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IngestRequest:
    monkeypatch.setitem(ingest.forward.batching.BATCH_TOKENS, "cpu", BATCH)
    texts = tmp_path / "texts.txt"
    texts.write_text("\n\n".join(TEXTS * 2), encoding="utf-8")
    return IngestRequest(str(model), str(tmp_path / "n.db"), dataset=str(texts), name="long")


@pytest.mark.parametrize(
    ("section", "kind"),
    [
        ("rope_parameters", "longrope"),
        ("rope_scaling", "longrope"),
        ("rope_scaling", "su"),
        ("rope_scaling", "yarn"),
    ],
)
def test_the_length_is_that_of_transformers_whatever_the_configuration_calls_it(
    model: Path, tmp_path: Path, section: str, kind: str
) -> None:
    said: dict[str, Any] = json.loads((model / "config.json").read_text())
    for name in ("rope_parameters", "rope_scaling", "original_max_position_embeddings"):
        said.pop(name, None)
    (tmp_path / "config.json").write_text(json.dumps(said | long_rope(section, kind)))
    for weights in model.glob("*.safetensors"):
        (tmp_path / weights.name).symlink_to(weights)
    rope = transformers.AutoConfig.from_pretrained(tmp_path).rope_parameters
    assert rope["rope_type"] == "longrope"
    found = Checkpoint.open(tmp_path).architecture.short_context
    assert found == rope["original_max_position_embeddings"] == SHORT


def test_a_rotation_that_does_not_depend_on_the_length_has_none(tmp_path: Path) -> None:
    assert Checkpoint.open(build("phi3", GROUPED, tmp_path)).architecture.short_context is None


def _watch(monkeypatch: pytest.MonkeyPatch, n: int = 1000) -> list[Batch]:
    """Return the list that every batch run from now on is put on; after `n` it is as Ctrl-C."""
    real, seen = Forward.run, list[Batch]()

    def watched(self: Forward, batch: Batch, consumers: list[Consumer]) -> None:
        seen.append(batch)
        if len(seen) > n:
            raise KeyboardInterrupt
        real(self, batch, consumers)

    monkeypatch.setattr(Forward, "run", watched)
    return seen


def _token_ids(request: IngestRequest) -> list[torch.Tensor]:
    rows = ask(request, "SELECT token_ids FROM text_token_ids ORDER BY text_id")
    return [torch.tensor(np.frombuffer(row[0], "<u4").astype(np.int64)) for row in rows]  # type: ignore[call-overload]


def _mean_posts(model: Path, texts: list[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Yield each layer's mean hook_post: transformers run on each text alone."""
    reference: Any = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    for layer in reference.model.layers:
        seen = list[torch.Tensor]()
        hook = layer.mlp.down_proj.register_forward_pre_hook(
            lambda _, inputs, seen=seen: seen.append(inputs[0][0].double())
        )
        with torch.inference_mode():
            for text in texts:
                reference(text[None])
        hook.remove()
        yield torch.cat(seen).mean(0)


def test_texts_on_either_side_are_apart_and_counted_as_each_alone(
    request_: IngestRequest, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = _watch(monkeypatch)
    run(request_)
    sides = [set((batch.lengths > SHORT).tolist()) for batch in seen]
    assert all(len(side) == 1 for side in sides)
    assert {True} in sides
    assert {False} in sides
    assert [batch.number for batch in seen] == list(range(len(seen)))
    with sqlite3.connect(str(request_.database)) as connection:
        rows = connection.execute(
            "SELECT layer, sign * post_mean FROM neurons JOIN activation_stats USING (neuron_id) "
            "ORDER BY neuron_id"
        ).fetchall()
    for layer, expected in enumerate(_mean_posts(model, _token_ids(request_))):
        found = torch.tensor([mean for of_layer, mean in rows if of_layer == layer])
        torch.testing.assert_close(found.double(), expected, atol=2e-6, rtol=1e-4)


def test_a_pass_goes_on_and_shards_merge_to_the_rows_of_one(
    request_: IngestRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replace(request_, database=str(tmp_path / "whole.db"))
    run(whole)
    monkeypatch.setattr(ingest.stages.interrupted_pass, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(ingest.stages.interrupted_pass, "SAVING_SHARE", 1e9)
    with monkeypatch.context() as patch:
        _watch(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            run(request_)
    assert list(tmp_path.glob("n.db.pass-*"))
    run(request_)
    assert all_rows(Path(str(request_.database))) == all_rows(Path(str(whole.database)))
    sharded = replace(request_, database=str(tmp_path / "shards.db"))
    files = []
    for number in (1, 2):
        files.append(str(tmp_path / f"{number}.summary"))
        run(replace(sharded, shard=(number, 2), summary=files[-1]))
    run(replace(sharded, stages=("weights", "vocab")))
    load_job("merge")(MergeRequest(tuple(files), sharded.database), Silent())
    assert all_rows(Path(str(sharded.database))) == all_rows(Path(str(whole.database)))


def test_a_state_of_texts_that_shared_batches_is_not_gone_on_with(
    request_: IngestRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state of the former division is another pass's: the key of its file was another."""
    import ingest.stages.activations as stage

    keys = list[dict[str, object]]()
    real = stage.identify_summary

    def identify(*arguments: Any) -> dict[str, object]:
        keys.append(real(*arguments))
        return keys[-1]

    monkeypatch.setattr(stage, "identify_summary", identify)
    run(request_)
    short_texts = tmp_path / "short.txt"
    short_texts.write_text("\n\n".join(text for text in TEXTS if len(text) < 20), encoding="utf-8")
    run(replace(request_, dataset=str(short_texts)))
    assert [key.get("short_context") for key in keys] == [SHORT, None]


def test_traces_have_no_batch_of_texts_on_both_sides(
    request_: IngestRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ingest.forward.batching.BATCH_TOKENS, "cpu", 1000)  # room for all texts
    run(replace(request_, stages=("activations",)))
    seen: list[list[int]] = []
    whole = Forward.run

    def watch(self: Forward, batch: Batch, consumers: Sequence[Consumer]) -> None:
        seen.append(batch.lengths.tolist())
        whole(self, batch, consumers)

    monkeypatch.setattr(Forward, "run", watch)
    run(replace(request_, stages=("traces",), window=(2, 1)))
    assert len(seen) == 2
    assert min(seen[0]) > SHORT >= max(seen[1])
