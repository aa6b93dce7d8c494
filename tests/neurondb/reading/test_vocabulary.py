"""A neuron in tokens says what the rows say."""

import json

import pytest
from sqlalchemy import Connection

from neurondb.schema import tables
from tests.neurondb.reading.pages import page


def test_token_lists_are_of_the_basis_and_length_asked_for(connection: Connection) -> None:
    found = page(connection, basis="embed", tokens=2).vocabulary

    assert found is not None
    assert {(one.vector, one.basis) for one in found.lists} == {
        (vector, "embed") for vector in ("gate", "in", "out")
    }
    top = next(one for one in found.lists if (one.vector, one.direction) == ("out", "top"))
    assert [(t.token, t.cosine) for t in top.tokens] == [(" dog", 0.5), ("\n", 0.4)]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"fold": True, "center": True}, "U folded and centred"),
        ({"fold": True, "center": False}, "U folded"),
        ({"fold": False, "center": False}, "U as stored"),
    ],
)
def test_the_ledger_tells_what_was_done_to_the_unembedding(
    connection: Connection, settings: dict[str, bool], said: str
) -> None:
    run = {
        "run_id": 1, "model_id": 1, "tool_version": "0.1", "torch_version": "2",
        "fingerprint": "f", "stages": "vocab", "dtype": "float32", "device": "cpu", "seed": 0,
        "started_at": "2025",
    }  # fmt: skip
    connection.execute(tables.ingest_runs.insert(), run)
    step = {
        "run_id": 1, "model_id": 1, "stage": "vocab", "layer": 1,
        "settings": json.dumps(settings), "n_rows": 1, "seconds": 1.0, "finished_at": "2025",
    }  # fmt: skip
    connection.execute(tables.ingest_steps.insert(), step)

    unembed, embed = (page(connection, basis=basis).vocabulary for basis in ("unembed", "embed"))

    assert unembed is not None
    assert embed is not None
    assert (unembed.rows, embed.rows) == (said, "E as stored")


def test_what_out_promotes_is_by_the_unembedding_in_either_basis(connection: Connection) -> None:
    for basis in ("unembed", "embed"):
        found = page(connection, basis=basis).vocabulary
        assert found is not None
        assert found.promotes is not None
        assert found.suppresses is not None
        assert (found.promotes.token, found.suppresses.token) == (" once", "\n")


def test_role_and_lm_head_token(connection: Connection) -> None:
    found = page(connection).vocabulary

    assert found is not None
    assert found.role == "suppression"  # kurtosis 12 > 10, skewness -2 < 0
    heads = [(one.side, one.token_id, one.normalised) for one in found.lm_head]
    assert heads == [(-1, 1, 7.5), (1, 9, 6.5)]  # the stronger side first
    assert found.lm_head[1].token == " red"
