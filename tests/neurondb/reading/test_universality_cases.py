"""Matches by sign case as pages, the command and the find language see them; the sample's rows."""

import sqlite3
from contextlib import closing
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from neurondb.database import open_existing
from neurondb.errors import ExpressionError
from neurondb.find import count, explain_empty, find
from neurondb.find.grammar import parse
from neurondb.formatting.numbers import format_share
from neurondb.reading.models import find_model
from neurondb.reading.neuron import read_neuron_page
from neurondb.reading.universality import read_universality_page
from neurondb.reading.universality_cases import FEWEST_TOKENS, read_universality_cases
from neurondb.schema.codes import SIGN_CASES
from neurondb.terminal.console import open_console
from neurondb.terminal.neuron_universality import draw_universality
from neurondb.terminal.universality import draw_universality_page
from tests.support.sample_database import build
from tests.support.sample_facts import LAYERS, WIDTH, Row, Sample
from tests.support.sample_universality import CONSTANT, GPT_RUN, NEVER, NEW_RUN, OLD_RUN

LLAMA, GPT = "sample-llama", "sample-gpt"


def printed(body: object) -> str:
    stream = StringIO()
    open_console(stream, 100).print(body, crop=False)
    return stream.getvalue()


def rows_of(sample: Sample, case: str) -> list[Row]:
    return [row for row in sample.case_matches if row["sign_case"] == case]


def excess_of(row: Row) -> float | None:
    return None if row["correlation"] is None else row["correlation"] - row["baseline"]


def test_a_run_has_every_neuron_in_every_case(sample: Sample, sample_engine: Engine) -> None:
    with sample_engine.connect() as connection:
        page = read_universality_page(connection, NEW_RUN)
        cases = read_universality_cases(connection, NEW_RUN, page.model, 1)
        assert read_universality_cases(connection, OLD_RUN, page.model, 1) is None
        gpt = find_model(connection, GPT)
        without_gates = read_universality_cases(connection, GPT_RUN, gpt, 1)
    assert without_gates is not None
    assert without_gates.names == ("in+", "in-")
    assert cases is not None
    assert cases.names == SIGN_CASES[:4]
    assert cases.correlation.shape == (4, 1, LAYERS, WIDTH)
    for place, name in enumerate(cases.names):
        expected = rows_of(sample, name)
        assert cases.n_tokens[place].ravel().tolist() == [row["n_tokens"] for row in expected]
        same = [
            row["best_id"] is not None and row["best_id"] == whole["best_id"]
            for row, whole in zip(expected, sample.matches, strict=False)
        ]
        assert 0 < sum(same) < len(same)
        assert cases.is_same[place].ravel().tolist() == same
        counted = [
            np.nan if row["n_tokens"] < FEWEST_TOKENS else excess_of(row) for row in expected
        ]
        np.testing.assert_allclose(cases.find_excess(place).ravel(), np.array(counted, dtype=float))
    known = cases.find_excess(0)[np.isfinite(cases.find_excess(0))]
    drawn = printed(draw_universality_page(page, 100, 3, cases))
    assert f"in one at {FEWEST_TOKENS} tokens or more" in drawn
    (line,) = (line for line in drawn.splitlines() if line.strip().startswith("gate+_in+"))
    assert line.split()[1:3] == [f"{len(known):,}", format_share(float((known > 0.5).mean()))]


def test_a_neuron_has_a_line_for_each_case(sample: Sample, sample_engine: Engine) -> None:
    with sample_engine.connect() as connection:
        page = read_neuron_page(connection, LLAMA, 0, NEVER)
        constant = read_neuron_page(connection, LLAMA, 0, CONSTANT)
    assert page.universality is not None
    own = sample.named(LLAMA, f"0.{NEVER}")["neuron_id"]
    expected = [row for row in sample.case_matches if row["neuron_id"] == own]
    for found, row in zip(page.universality.cases, expected, strict=True):
        assert found.sign_case == row["sign_case"]
        assert (found.n_tokens, found.correlation) == (row["n_tokens"], row["correlation"])
        assert found.excess == pytest.approx(excess_of(row))
        assert (found.best is None) == (row["best_id"] is None) == ("gate-" in found.sign_case)
    drawn = printed(draw_universality(page.universality, 100))
    assert f"gate+_in+  {expected[0]['n_tokens']:6}" in " ".join(drawn.split(" "))
    assert constant.universality is not None
    assert [case.excess for case in constant.universality.cases] == [None] * 4


def test_find_knows_the_excess_of_a_case(sample: Sample, sample_engine: Engine) -> None:
    case = "gate-_in+"
    expected = {
        row["neuron_id"]: pytest.approx(excess_of(row))
        for row in rows_of(sample, case)
        if (excess_of(row) or 0) > 0.5
    }
    for spelled in ("gate-_in+.universal", "gate_neg_in_pos.universal", "GATE−_IN+.Universal"):
        rows = find(
            sample_engine,
            f"{spelled}>0.5 model={LLAMA}",
            columns=["neuron_id", spelled],
            order=[f"-{spelled}"],
        ).rows
        found = {row[0]: row[1] for row in rows}
        assert found == expected
        assert list(found.values()) == sorted(found.values(), reverse=True)
    assert count(sample_engine, f"{case}.universal=null model={LLAMA}") == 2
    top = find(sample_engine, f"pct({case}.universal)=1 model={LLAMA}", columns=["neuron_id"]).rows
    best = [
        max((row for row in rows_of(sample, case) if lies_in(row, layer)), key=key_of)["neuron_id"]
        for layer in range(LAYERS)
    ]
    assert {row[0] for row in top} >= set(best)


def lies_in(row: Row, layer: int) -> bool:
    return int(row["neuron_id"]) // WIDTH == layer


def key_of(row: Row) -> float:
    return excess_of(row) or 0


def test_a_case_that_is_none_is_an_error_with_what_may_be_meant() -> None:
    with pytest.raises(ExpressionError, match=r"unknown sign case 'gate\+_im\+'.*gate\+_in\+"):
        parse("gate+_im+.universal>0.5")


def test_a_run_without_cases_is_told_of(tmp_path: Path) -> None:
    sample = build(tmp_path / "sample.db")
    with closing(sqlite3.connect(sample.path)) as connection:
        connection.execute("DELETE FROM universality_cases")
        connection.commit()
    engine = open_existing(sample.url)
    (line,) = explain_empty(engine, "in-.universal>0.5 model=sample-gpt")
    with engine.connect() as opened:
        page = read_neuron_page(opened, GPT, 0, 1)
    engine.dispose()
    assert f"as in run {GPT_RUN}, with --sign-cases" in line
    assert page.universality is not None
    assert page.universality.cases == ()


@pytest.mark.parametrize(
    ("expression", "line"),
    [
        ("gate+_in+.universal>0.5 model=sample-gpt", "sample-gpt has no gates"),
        ("in+.universal>0.5 model=sample-llama", "in+ are sign cases of neurons without one"),
    ],
)
def test_an_empty_answer_says_what_is_missing(
    sample_engine: Engine, expression: str, line: str
) -> None:
    lines = explain_empty(sample_engine, expression)
    assert any(line in one for one in lines), lines
