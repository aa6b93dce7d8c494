"""One database of one gated and one ungated model whose every number a test can name."""

import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Table, insert

from neurondb import migrate
from neurondb.database import connect, parse_url
from neurondb.schema import codes, tables
from tests.support.leb128 import leb128
from tests.support.places import find_place

GATED, UNGATED = 1, 2
NEURON = 3
"""Id of neuron 1.1 of the gated model, whose ids begin at 0 and which has two neurons a layer."""
UNGATED_NEURON = 103
DATASET = 9

TOKENS = ("<s>", " once", " dog", "\n", "\\xE2", "\\x82", "\\xAC", "\\x41", "s", " red")
PIECES = ("<s>", "Ġonce", "Ġdog", "Ċ", "<0xE2>", "<0x82>", "<0xAC>", "\\x41", "s", "Ġred")

Put = Callable[..., None]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The filled database, migrated once for all tests."""
    path = tmp_path_factory.mktemp("template") / "neurons.db"
    made = migrate.create_or_open(str(path))
    with made.begin() as connection:
        fill(connection)
    made.dispose()
    return path


@pytest.fixture
def engine(tmp_path: Path, template: Path) -> Iterator[Engine]:
    copied = shutil.copy(template, tmp_path)
    opened = connect(parse_url(str(copied)), writing=True)
    yield opened
    opened.dispose()


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as opened:
        yield opened


def fill(connection: Connection) -> None:
    def put(table: Table, **row: Any) -> None:
        connection.execute(insert(table), row)

    put(
        tables.dataset_rows,
        dataset_id=DATASET,
        name="tales",
        source="t",
        fingerprint="t",
        n_texts=2,
    )
    put_model(put, GATED, "gate-model", gated=True, first=0)
    put_model(put, UNGATED, "plain-model", gated=False, first=100)
    norms = {"unembed_norm": 1.5, "embed_norm": 0.5}
    for number, (token, piece) in enumerate(zip(TOKENS, PIECES, strict=True)):
        put(tables.tokens, model_id=GATED, token_id=number, token=token, piece=piece, **norms)
    put_weights(put)
    put_vocabulary(put)
    put_activations(put)
    put_examples(put)
    put_summaries(put)


def put_model(put: Put, model_id: int, name: str, *, gated: bool, first: int) -> None:
    put(
        tables.models,
        model_id=model_id,
        name=name,
        source=f"hub/{name}",
        architecture="llama" if gated else "gpt2",
        gated=gated,
        activation="silu",
        n_layers=3,
        d_model=8,
        d_mlp=2,
        d_vocab=len(TOKENS),
        fingerprint="f",
        first_neuron_id=first,
        threshold=0.5,
        dataset_id=DATASET,
    )
    put(
        tables.tokenizations,
        model_id=model_id,
        dataset_id=DATASET,
        max_len=1024,
        prefix_token_id=0,
        skip_bos=False,
        n_tokens=1000,
        n_truncated=0,
    )


def put_weights(put: Put) -> None:
    place = {"layer": 1, "neuron": 1}
    norms = {"in_norm": 2.0, "out_norm": 3.0, "penalty": 14.0}
    put(tables.neurons, neuron_id=NEURON, model_id=GATED, sign=-1, gate_norm=1.0, **place, **norms)
    put(
        tables.neurons,
        neuron_id=UNGATED_NEURON,
        model_id=UNGATED,
        sign=1,
        in_bias=0.5,
        **place,
        **norms,
    )
    put(tables.cosines, neuron_id=NEURON, gate_in=0.7164, gate_out=-0.04, in_out=-0.8542)
    put(tables.cosines, neuron_id=UNGATED_NEURON, in_out=0.6)
    put(tables.classes, neuron_id=NEURON, threshold=0.5, class_id=7)
    put(tables.classes, neuron_id=NEURON, threshold=0.3, class_id=8)
    put(tables.classes, neuron_id=UNGATED_NEURON, threshold=0.5, class_id=0)
    for pair, reach in (("gate_in", 0.1), ("gate_out", 0.05), ("in_out", 0.06)):
        region = {"model_id": GATED, "layer": 1, "pair": pair}
        put(tables.baselines, kind="gaussian", low=-0.03, high=0.03, **region)
        put(tables.baselines, kind="mismatched", low=-reach, high=reach, n_pairs=500, **region)


def put_vocabulary(put: Put) -> None:
    for code, _, basis, direction in codes.TOKEN_LISTS:
        sign = 1 if direction == "top" else -1
        first = {("unembed", 1): 1, ("unembed", -1): 3, ("embed", 1): 2, ("embed", -1): 9}
        for rank in range(3):
            put(
                tables.top_token_rows,
                neuron_id=NEURON,
                list_id=code,
                rank=rank,
                token_id=(first[basis, sign] + rank) % len(TOKENS),
                scaled_cosine=sign * (0.5 - 0.1 * rank) * 2**31,
            )
    put(
        tables.vocab_stat_rows,
        neuron_id=NEURON,
        vector_id=2,
        mean=0.0,
        variance=0.01,
        skewness=-2.0,
        kurtosis=12.0,
        dot_variance=0.001,
    )
    head = {"neuron_id": NEURON, "probability": 0.25}
    put(tables.lm_head_tokens, **head, side=1, token_id=9, normalised=6.5)
    put(tables.lm_head_tokens, **head, side=-1, token_id=1, normalised=7.5)


def put_activations(put: Put) -> None:
    moments = {
        f"{quantity}_{moment}": value
        for quantity, scale in (("pre", 1.0), ("post", -1.0))
        for moment, value in (
            ("mean", scale),
            ("variance", 4.0),
            ("skewness", 0.5),
            ("kurtosis", 3),
        )
    }
    common = {"dataset_id": DATASET, "n_tokens": 1000, "post_positive": 0.25, **moments}
    put(tables.activation_stats, neuron_id=NEURON, freq=0.82, **common)
    put(tables.activation_stats, neuron_id=UNGATED_NEURON, **common)
    for code, count in enumerate((150, 670, 0, 180)):
        put_case(put, NEURON, code, count)
    for code, count in ((4, 950), (5, 50)):
        put_case(put, UNGATED_NEURON, code, count)


def put_case(put: Put, neuron_id: int, code: int, count: int) -> None:
    spread = {"post_mean": -0.18, "post_min": -5.12, "post_max": 0.0} if count else {}
    put(
        tables.sign_case_rows,
        neuron_id=neuron_id,
        dataset_id=DATASET,
        sign_case_id=code,
        count=count,
        freq=count / 1000,
        **spread,
    )


def put_examples(put: Put) -> None:
    put(tables.texts, text_id=70, dataset_id=DATASET, ordinal=0, text="once dog\n€A s red")
    put(tables.texts, text_id=71, dataset_id=DATASET, ordinal=1, text="once " * 100)
    put_token_ids(put, 70, (0, 1, 2, 3, 4, 5, 6, 7, 8, 9))
    for case in (0, 1, 3):
        for rank in range(2):
            put(
                tables.example_rows,
                neuron_id=NEURON,
                dataset_id=DATASET,
                place=find_place(codes.encode_example_list(case, 0), rank),
                text_id=70 + rank,
                position=2,
                scaled_value=(-5.12 + rank) * 2**28,
            )


def put_summaries(put: Put) -> None:
    key = {"neuron_id": NEURON, "dataset_id": DATASET}
    for quantity, filled in ((0, {0: 5, 29: 300}), (2, {30: 1, 59: 70_000})):
        counts = b"".join(leb128(filled.get(bin_, 0)) for bin_ in range(60))
        put(tables.activation_histograms, **key, quantity_id=quantity, counts=counts)
    moments = {"pre_mean": 0.5, "pre_variance": 1.0, "post_mean": -0.5, "post_variance": 4.0}
    for label_id, (label, freq) in enumerate((("news", 0.25), ("code", 0.75), ("none", None)), 1):
        put(tables.labels, label_id=label_id, dataset_id=DATASET, label=label)
        shown = {} if freq is None else moments | {"post_positive": freq / 2}
        n_tokens = 0 if freq is None else 500
        put(tables.label_stats, **key, label_id=label_id, n_tokens=n_tokens, freq=freq, **shown)
    for kind in (0, 4):
        for rank in range(4):
            place = {"text_id": 70, "position": 3 + rank, "value": kind - rank}
            put(tables.control_example_rows, **key, kind_id=kind, rank=rank, **place)
    values = (0.5, -1.5, 2.0, 1.0, 1.0, -1.0, 0.5, -1.5, -5.12)
    trace = {"text_id": 70, "position": 2, "start": 0, "n_tokens": 3}
    put(tables.trace_rows, **key, **trace, trace=struct.pack("<9e", *values))


def put_token_ids(put: Put, text_id: int, ids: tuple[int, ...]) -> None:
    packed = struct.pack(f"<{len(ids)}I", *ids)
    put(tables.text_token_ids, model_id=GATED, text_id=text_id, token_ids=packed)
