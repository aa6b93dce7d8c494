"""Case statistics, moments and examples of every model against the reference."""

import itertools
import subprocess
from typing import Any

import pytest

from tests.ingest.activations.reference_checks import (
    N_EXAMPLES,
    assert_all_examples_right,
    assert_cases_right,
    assert_totals_right,
    expected_lists,
    layers,
)
from tests.support.ingested import SUBJECTS, Subject, subject, variant


@pytest.fixture(params=SUBJECTS)
def model(request: pytest.FixtureRequest) -> Subject:
    return subject(request.param)


def stored_cases(model: Subject) -> tuple[str, ...]:
    rows = model.rows(
        "SELECT DISTINCT sign_case, sign_case_id FROM sign_cases"
        " JOIN sign_case_names USING (sign_case) ORDER BY sign_case_id"
    )
    return tuple(case for case, _ in rows)


def test_every_case_has_the_counts_and_statistics_of_the_reference(model: Subject) -> None:
    assert_cases_right(model)
    assert stored_cases(model) == next(layers(model)).cases


def test_every_moment_and_share_over_all_tokens_equals_the_reference(model: Subject) -> None:
    assert_totals_right(model)


def test_every_example_list_holds_the_most_extreme_place_of_the_most_extreme_texts(
    model: Subject,
) -> None:
    assert_all_examples_right(model)


def test_there_is_a_list_for_every_case_and_quantity_and_no_other(model: Subject) -> None:
    stored = set(model.rows("SELECT DISTINCT sign_case, quantity FROM examples"))
    silent = {("in-", "hook_post")} if model.directory.name.startswith("opt") else set()
    assert stored == expected_lists(model) - silent


def assert_equal_places_by_text(
    rows: list[tuple[int, int]], ids: list[tuple[int, ...]], full: bool
) -> None:
    """Places after the same tokens have the same value: the first texts come, in their order."""
    listed = {ordinal for ordinal, _ in rows}
    groups: dict[tuple[int, ...], list[int]] = {}
    for ordinal, position in rows:
        groups.setdefault(ids[ordinal][: position + 1], []).append(ordinal)
    for prefix, found in groups.items():
        assert found == sorted(found)
        tied = {i for i, text in enumerate(ids) if text[: len(prefix)] == prefix}
        assert {i for i in tied if i < max(found)} <= listed
        assert full or tied <= listed


@pytest.mark.parametrize("name", ["llama", "olmo", "gpt2", "opt"])
def test_of_equal_values_the_first_texts_are_kept(name: str) -> None:
    """Of texts in one batch: in another, the same tokens may give other last bits."""
    model = subject(name)
    ids = [tuple(text) for text in model.ids()]
    rows = model.rows(
        "SELECT neuron_id, sign_case, quantity, ordinal, position FROM examples"
        " JOIN texts USING (text_id) ORDER BY neuron_id, sign_case, quantity, rank"
    )
    for _, group in itertools.groupby(rows, key=lambda row: row[:3]):
        places = [row[3:] for row in group]
        assert_equal_places_by_text(places, ids, len(places) == N_EXAMPLES)


def test_running_a_model_that_sees_pictures_installs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands: list[Any] = []
    monkeypatch.setattr(subprocess, "check_call", lambda *args, **_: commands.append(args))
    assert variant("gemma3", name="again").rows("SELECT count(*) FROM activation_stats") == [(112,)]
    assert commands == []
