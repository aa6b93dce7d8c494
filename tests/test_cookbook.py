"""The cookbook: every question has an answer, on both databases, and the answers are right."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from docs import cookbook
from neurondb.database import open_existing
from neurondb.schema import codes
from neurondb.sql import run_sql
from tests.support.copies import copy
from tests.support.postgres import need_postgres
from tests.support.sample_facts import REGION, Row, Sample

LLAMA = "sample-llama"
PAGE = cookbook.PAGE.read_text(encoding="utf-8")
QUESTIONS = {
    int(question.title.split(".")[0]): question for question in cookbook.read_questions(PAGE)
}
SILENT = {22, 24, 25, 30}
"""Questions whose bounds leave nothing of the sample."""


def of_sample(number: int) -> str:
    """A question's statement, about the sample's model."""
    return QUESTIONS[number].sql.replace(cookbook.MODEL, LLAMA)


def ask(engine: Engine, number: int) -> list[Row]:
    answer = run_sql(engine, of_sample(number))
    return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


def neurons(sample: Sample) -> list[Row]:
    return [neuron for neuron in sample.neurons if neuron["model"] == LLAMA]


@pytest.fixture(scope="module")
def postgres_engine(sample: Sample, request: pytest.FixtureRequest) -> Iterator[Engine]:
    need_postgres()
    url = request.getfixturevalue("postgres")
    copy(str(sample.path), url)
    engine = open_existing(url)
    yield engine
    engine.dispose()


def test_there_are_thirty_and_each_has_an_answer_on_the_page() -> None:
    assert list(QUESTIONS) == list(range(1, 31))
    assert PAGE.count("\n### ") == 30
    for question in QUESTIONS.values():
        assert cookbook.MODEL in question.sql
        assert len(question.answer.splitlines()) > 2, question.title


def test_the_page_has_the_commands_that_made_its_database() -> None:
    assert [f"$ {command}" for command in cookbook.COMMANDS] == re.findall(r"^\$ .*", PAGE, re.M)


@pytest.mark.parametrize("number", QUESTIONS)
def test_every_question_is_answered_in_the_columns_of_the_page(
    number: int, sample_engine: Engine
) -> None:
    answer = cookbook.ask(sample_engine, of_sample(number))
    header = QUESTIONS[number].answer.partition("\n")[0].replace("\\", "")
    assert header == f"| {' | '.join(answer.columns)} |"
    assert bool(list(answer.rows)) == (number not in SILENT)


def test_postgresql_gives_the_same_answers(sample_engine: Engine, postgres_engine: Engine) -> None:
    for number in QUESTIONS:
        here, there = (
            cookbook.write_answer(engine, of_sample(number))
            for engine in (sample_engine, postgres_engine)
        )
        assert there.splitlines()[2:] == here.splitlines()[2:], QUESTIONS[number].title


# --- what the answers should be, in plain Python -----------------------------------------------


def test_the_first_is_a_filter(sample: Sample, sample_engine: Engine) -> None:
    wanted = [n for n in neurons(sample) if (n["in_out"] or 0) < -0.2 and (n["freq"] or 0) > 0.5]
    found = ask(sample_engine, 1)
    assert {row["name"] for row in found} == {n["name"] for n in wanted}
    assert [row["in_out"] for row in found] == sorted(row["in_out"] for row in found)


def test_classes_are_counted(sample: Sample, sample_engine: Engine) -> None:
    counts = Counter((n["layer"], n["class"]) for n in neurons(sample))
    assert {(row["layer"], row["class"]): row["n"] for row in ask(sample_engine, 2)} == counts
    for row in ask(sample_engine, 3):
        others = [n for n in neurons(sample) if n["layer"] == row["layer"]]
        share = sum(n["class"] != "orthogonal output" for n in others) / len(others)
        assert row["share"] == pytest.approx(share)


def test_any_threshold_is_a_query(sample: Sample, sample_engine: Engine) -> None:
    for row in ask(sample_engine, 4):
        large = [
            n
            for n in neurons(sample)
            if max(abs(n["in_out"] or 0), abs(n["gate_out"] or 0)) > row["tau"]
        ]
        assert row["n"] == len(large)


def test_sides_of_what_is_beyond_chance(sample: Sample, sample_engine: Engine) -> None:
    for row in ask(sample_engine, 5):
        cosines = [
            n["in_out"]
            for n in neurons(sample)
            if n["layer"] == row["layer"] and n["in_out"] is not None
        ]
        assert row["strengthening_side"] == sum(cosine > REGION for cosine in cosines)
        assert row["weakening_side"] == sum(cosine < -REGION for cosine in cosines)
        beyond = sum(abs(cosine) > REGION for cosine in cosines) / len(cosines)
        assert row["beyond_chance"] == pytest.approx(beyond)


def test_frequencies_by_layer_and_class(sample: Sample, sample_engine: Engine) -> None:
    known = [n for n in neurons(sample) if n["freq"] is not None]
    for row in ask(sample_engine, 18):
        freqs = [n["freq"] for n in known if n["layer"] == row["layer"]]
        assert row["rarely"] == sum(freq < 0.02 for freq in freqs)
        assert row["nearly_always"] == sum(freq > 0.9 for freq in freqs)
    for row in ask(sample_engine, 19):
        freqs = [n["freq"] for n in known if n["class"] == row["class"]]
        assert (row["least"], row["most"]) == (min(freqs), max(freqs))


def test_work_under_a_closed_gate(sample: Sample, sample_engine: Engine) -> None:
    work: dict[int, Counter[bool]] = {}  # neuron → whether the gate is closed → |hook_post|
    for case in sample.cases:
        if case["count"]:
            done: Counter[bool] = work.setdefault(case["neuron_id"], Counter())
            closed = codes.SIGN_CASES[case["sign_case_id"]].startswith("gate-")
            done[closed] += case["count"] * abs(case["post_mean"])
    named = {n["name"]: work[n["neuron_id"]] for n in neurons(sample) if n["neuron_id"] in work}
    for row in ask(sample_engine, 21):
        done = named[row["name"]]
        assert row["share_closed"] == pytest.approx(done[True] / done.total())


# --- the comparison of pages -------------------------------------------------------------------


def test_another_number_is_a_difference_and_another_rounding_is_none(sample_engine: Engine) -> None:
    page = cookbook.fill_page(PAGE.replace(cookbook.MODEL, LLAMA), sample_engine)
    assert list(cookbook.find_differences(page, sample_engine)) == []
    (first,) = itertools.islice(cookbook.read_questions(page), 1)
    cell = re.findall(r"-0\.\d+", first.answer)[0]
    for value, differs in ((float(cell) * 1.001, False), (float(cell) * 1.1, True)):
        changed = page.replace(first.answer, first.answer.replace(cell, f"{value:.5f}", 1))
        found: list[Any] = list(cookbook.find_differences(changed, sample_engine))
        assert bool(found) == differs
