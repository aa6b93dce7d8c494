"""The job `heads`: planted neurons are found, runs are stored once, one a model."""

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from ingest.jobs import heads
from neurondb.contracts.heads import HeadPair, HeadsRequest, parse_pairs
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.inputs import Machine, TextsRequest
from neurondb.contracts.registry import load_job
from neurondb.errors import LackingModelError, NeuronDBError, UnknownNameError, UsageError
from neurondb.migrate import create_or_open
from neurondb.neurons import NeuronPlace
from neurondb.writing.models import forget_model
from tests.ingest.relations.heads.attention_reference import BOS, HandModel
from tests.support.ingested import (
    TEXTS,
    Silent,
    fresh,
    random_model,
    text_file,
    write_byte_level_tokenizer,
)
from tests.support.model_files import SINGLE, edit_tensors
from tests.support.steering import Stored, stored

OFF, ON, HEAD = 5, 9, 2
"""Planted neurons of layer 0 that turn head 1.2 off and on."""
TABLES = (
    *("head_runs", "attention_heads", "head_score_counts", "head_ablations"),
    "head_ablation_cases",
)
PARTS = ("bos", "norm")
Values = NDArray[Any]


def _store(directory: Path) -> Stored:
    database = str(fresh("heads") / "n.db")
    request = IngestRequest(str(directory), database, name="m", stages=("weights",), device="cpu")
    load_job("ingest")(request, Silent())
    return Stored(directory, database)


@cache
def _planted() -> Stored:
    """Plant two neurons that never fire at BOS, whose value head 1.2 then does not see at all."""
    directory = fresh("planted")
    shutil.copytree(random_model("llama"), directory, dirs_exist_ok=True)
    hand = HandModel.load("llama", directory)
    seen: dict[str, torch.Tensor] = {}
    mlp = hand.block(0).get_submodule("mlp")
    mlp.register_forward_pre_hook(lambda _m, args: seen.__setitem__("mlp", args[0][0, 0]))
    hand.run(torch.tensor([[BOS]]))
    at_bos = seen["mlp"] / seen["mlp"].norm()
    draw = torch.Generator().manual_seed(1)

    def plant(tensors: dict[str, torch.Tensor]) -> None:
        prefix = "model.layers.0.mlp."
        for neuron in (OFF, ON):
            reads = torch.randn(len(at_bos), generator=draw).double()
            reads = 3 * (reads - (reads @ at_bos) * at_bos)
            for name in ("gate_proj", "up_proj"):
                tensors[f"{prefix}{name}.weight"][neuron] = reads.float()
                tensors[f"{prefix}{name}.bias"][neuron] = 0
            tensors[f"{prefix}down_proj.weight"][:, neuron] = 0

    edit_tensors(directory, plant)
    hand = HandModel.load("llama", directory)
    stream = hand.run(torch.tensor([[BOS]])).stream
    normed = hand.norm(stream)[0, 0]
    query = hand.attention("q_proj").weight[HEAD * 8 : (HEAD + 1) * 8]
    direction = hand.block().input_layernorm.weight * (query.T @ hand.bos_key(HEAD))
    direction = (direction / direction.norm()).detach()

    def write(tensors: dict[str, torch.Tensor]) -> None:
        out = tensors["model.layers.0.mlp.down_proj.weight"]
        out[:, OFF], out[:, ON] = direction.float(), -direction.float()
        value = tensors["model.layers.1.self_attn.v_proj.weight"].double()
        unit = (normed / normed.norm()).detach()
        value = value - 0.999 * torch.outer(value @ unit, unit)
        tensors["model.layers.1.self_attn.v_proj.weight"] = value.float()

    edit_tensors(directory, write)
    return _store(directory)


def _copy(model: Stored, directory: Path) -> Stored:
    copy = directory / "copy.db"
    shutil.copy(model.database, copy)
    return Stored(model.directory, str(copy))


@pytest.fixture
def model(tmp_path: Path) -> Stored:
    """The planted model in a database that only this test writes to."""
    return _copy(_planted(), tmp_path)


def rows(model: Stored, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(model.database)) as connection:
        return connection.execute(sql, values).fetchall()


def ask(model: Stored, texts: Sequence[str] | None = TEXTS, **more: Any) -> HeadsRequest:
    read = None if texts is None else TextsRequest(str(text_file(tuple(texts))))
    return HeadsRequest(model.machine, read, **({"n_random": 100} | more))


def test_planted_neurons_are_found_and_turn_the_head_off_and_on(model: Stored) -> None:
    assert heads.run(ask(model), Silent()).is_new
    for effect, neuron in (("deactivates", OFF), ("activates", ON)):
        ((first, score, standardised),) = rows(
            model,
            "SELECT name, ABS(score), ABS(standardised) FROM neuron_heads WHERE head_name = '1.2'"
            " AND effect = ? AND head_rank = 0",
            effect,
        )
        assert first == f"0.{neuron}"
        ((norm, baseline),) = rows(
            model, "SELECT query_norm, baseline_std FROM heads WHERE name = '1.2'"
        )
        assert score == pytest.approx(norm, rel=1e-5)  # the largest that there can be
        assert standardised == pytest.approx(32**0.5, rel=1e-5)
        assert baseline == pytest.approx(norm / 32**0.5, rel=1e-9)
    found = rows(model, "SELECT name FROM head_effects WHERE head_name = '1.2' ORDER BY score DESC")
    assert found == [(f"0.{OFF}",), (f"0.{ON}",)]  # by default one pair a head and side
    asked = tuple(HeadPair(NeuronPlace(0, n), 1, HEAD) for n in (OFF, ON))
    assert heads.run(ask(model, pairs=asked), Silent()).is_new
    (off, on) = rows(
        model,
        "SELECT firing_bos_change, firing_norm_change, bos_correlation, norm_correlation, n_firing"
        " FROM head_effects ORDER BY score DESC",
    )
    # Without the neuron that turns it off, a head attends to BOS less, and writes more.
    assert off[0] < -0.01 < 0 < off[1]
    assert off[2] < -0.3
    assert off[3] > 0.2
    assert on[0] > 0.01 > 0 > on[1]
    assert min(off[4], on[4]) > 10


def test_what_is_stored_is_what_a_pass_by_hand_gives(model: Stored) -> None:
    pair = HeadPair(NeuronPlace(0, 3), 1, 1)
    heads.run(ask(model, pairs=(pair,), n_kept=10_000), Silent())
    hand = HandModel.load("llama", model.directory)
    sign = model.sign(NeuronPlace(0, 3))
    parts: dict[str, list[torch.Tensor]] = {}
    for text in TEXTS:
        ids = model.ids(text.strip())
        found = hand.ablate(torch.tensor([ids]), 3, 1)
        for name, of_text in found.items():
            parts.setdefault(name, []).append(of_text[0, (len(ids) + 1) // 2 :])
    by_hand = {name: torch.cat(of_texts).numpy() for name, of_texts in parts.items()}
    by_hand["activation"] = by_hand["activation"] * sign
    kept = np.array(rows(model, f"SELECT {', '.join(by_hand)} FROM head_ablation_tokens"))
    for column, values in zip(kept.T, by_hand.values(), strict=True):
        np.testing.assert_allclose(np.sort(column), np.sort(values), rtol=2e-4, atol=2e-6)
    ((n, firing, change, firing_change, ratio),) = rows(
        model,
        "SELECT n, n_firing, bos_change, firing_norm_change,"
        " (SELECT norm_ratio FROM heads WHERE name = '1.1') FROM head_effects",
    )
    fires = by_hand["activation"] > 0
    assert (n, firing) == (len(fires), fires.sum())
    assert change == pytest.approx(
        (by_hand["bos_ablated"] - by_hand["bos_clean"]).mean(), rel=1e-3, abs=1e-6
    )
    assert firing_change == pytest.approx(
        (by_hand["norm_ablated"] - by_hand["norm_clean"])[fires].mean(), rel=1e-3, abs=1e-6
    )
    assert ratio == pytest.approx(_norm_ratio(hand, model, 1), rel=1e-3)
    _check_cases(model, by_hand, _find_cases(hand, model, 3))


def _check_cases(model: Stored, by_hand: dict[str, Values], case_of: Values) -> None:
    """Compare what is stored by sign case with means over the positions of each by hand."""
    stored = rows(
        model,
        "SELECT sign_case, n, share, activation, bos_attention, bos_change, norm_change"
        " FROM head_effect_cases ORDER BY sign_case",
    )
    assert [row[0] for row in stored] == ["gate+_in+", "gate+_in-", "gate-_in+", "gate-_in-"]
    changes = {name: by_hand[f"{name}_ablated"] - by_hand[f"{name}_clean"] for name in PARTS}
    for case, n, share, *means in stored:
        own = case_of == case
        assert (n, share) == (own.sum(), pytest.approx(own.mean()))
        values = (by_hand["activation"], by_hand["bos_clean"], changes["bos"], changes["norm"])
        expected = [of_all[own].mean() if n else None for of_all in values]
        assert means == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert sum(row[1] for row in stored) == len(case_of)
    assert sum(row[1] > 0 for row in stored) > 1


@torch.no_grad()
def _find_cases(hand: HandModel, model: Stored, neuron: int) -> Values:
    """Return the sign case of a neuron of layer 0 in the second half of each text, by name."""
    seen: dict[str, torch.Tensor] = {}
    for name in ("gate_proj", "up_proj"):
        module = hand.block(0).get_submodule(f"mlp.{name}")
        module.register_forward_hook(lambda _m, _i, out, name=name: seen.__setitem__(name, out))
    sign, found = model.sign(NeuronPlace(0, neuron)), []
    for text in TEXTS:
        ids = model.ids(text.strip())
        hand.run(torch.tensor([ids]))
        gate, in_ = (seen[name][0, (len(ids) + 1) // 2 :, neuron].numpy() for name in seen)
        signs = np.where(gate > 0, "gate+", "gate-"), np.where(in_ * sign > 0, "_in+", "_in-")
        found.append(np.char.add(*signs))
    return np.concatenate(found)


@torch.no_grad()
def _norm_ratio(hand: HandModel, model: Stored, head: int) -> float:
    """Mean ‖W_O v‖ over tokens that are not the first, by that of BOS, text by text."""

    def written(ids: Sequence[int]) -> torch.Tensor:
        read = hand.norm(hand.run(torch.tensor([ids])).stream)
        value = hand.attention("v_proj")(read)[0].view(len(ids), 2, 8)[:, head // 2]
        output = hand.attention("o_proj").weight[:, head * 8 : (head + 1) * 8]
        norms: torch.Tensor = (value @ output.T).norm(dim=-1)
        return norms

    others = torch.cat([written(model.ids(text.strip()))[1:] for text in TEXTS])
    return float(others.mean() / written([BOS])[0])


def test_a_request_is_answered_once_and_another_takes_its_place(model: Stored) -> None:
    first = heads.run(ask(model), Silent())
    whole = rows(model, "SELECT * FROM neuron_head_rows")
    again = heads.run(ask(model), Silent())
    assert again == (first.run_id, False)
    assert heads.run(replace(ask(model), force=True), Silent()).is_new
    assert rows(model, "SELECT * FROM neuron_head_rows") == whole
    alone = heads.run(ask(model, None), Silent())
    assert alone.is_new
    assert rows(model, "SELECT COUNT(*), MAX(n_tokens) FROM head_runs") == [(1, None)]
    assert rows(model, "SELECT COUNT(*) FROM head_ablations") == [(0,)]
    assert rows(model, "SELECT COUNT(*) FROM heads WHERE norm_ratio IS NOT NULL") == [(0,)]
    assert rows(model, "SELECT neuron_id, score FROM neuron_head_rows") == [
        (row[0], row[3]) for row in whole
    ]


def test_a_deleted_model_leaves_nothing(model: Stored) -> None:
    heads.run(ask(model), Silent())
    engine = create_or_open(model.database)
    with engine.begin() as connection:
        forget_model(connection, 1)
    engine.dispose()
    for table in (*TABLES, "head_ablation_tokens", "neuron_head_rows"):
        assert rows(model, f"SELECT COUNT(*) FROM {table}") == [(0,)]


def test_an_ungated_model_with_a_layer_norm() -> None:
    model = stored("gpt2")
    heads.run(ask(model, n_pairs=2), Silent())
    hand = HandModel.load("gpt2", model.directory)
    out = load_file(model.directory / SINGLE)["transformer.h.0.mlp.c_proj.weight"].double()
    for neuron, head, score in rows(
        model, "SELECT neuron, head, score FROM neuron_heads WHERE rank IS NOT NULL LIMIT 40"
    ):
        expected = float(hand.score(head, out[neuron] - out[neuron].mean()))
        assert score == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"pairs": parse_pairs("0.3:1.7")}, UsageError, "0.3:1.7: m has layers 0–1, of 4 heads"),
        ({"pairs": parse_pairs("0.99:1.1")}, UnknownNameError, "99"),
        ({"texts": None, "pairs": parse_pairs("0.3:1.1")}, UsageError, "give dataset"),
        ({"machine": Machine("other")}, UnknownNameError, "other"),
    ],
)
def test_what_is_not_there_is_refused(
    model: Stored, change: dict[str, Any], error: type[NeuronDBError], says: str
) -> None:
    machine = change.pop("machine", Machine("m"))
    asked = replace(ask(model), **change, machine=replace(machine, database=model.database))
    with pytest.raises(error, match=says):
        heads.run(asked, Silent())
    assert rows(model, "SELECT COUNT(*) FROM head_runs") == [(0,)]


def test_a_model_without_bos_and_eos_is_refused() -> None:
    directory = fresh("without-bos")
    shutil.copytree(random_model("llama"), directory, dirs_exist_ok=True)
    write_byte_level_tokenizer(directory, bos=None, eos=None)
    for name in ("config.json", "generation_config.json"):
        text = (directory / name).read_text()
        (directory / name).write_text(
            text.replace('"bos_token_id": 1', '"bos_token_id": null').replace(
                '"eos_token_id": 2', '"eos_token_id": null'
            )
        )
    with pytest.raises(LackingModelError, match="names neither a BOS nor an EOS token"):
        heads.run(ask(_store(directory)), Silent())


@pytest.mark.parametrize("text", ["1.2", "1.2:1.0", "1.2:3.0,1.2:3.0", "a.b:2.1"])
def test_pairs_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_pairs(text)
