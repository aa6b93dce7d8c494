"""What programs print, as text and as JSON, and what is refused."""

import json
from typing import Any

import pytest

from neurondb.contracts.explain import Confusion, Said, Trouble
from neurondb.explaining.answers import LONGEST_VALUE, read_explanation, read_verdicts


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        (" weekdays\nand months \n", Said({"explanation": "weekdays\nand months"})),
        ('{"explanation": " days "}', Said({"explanation": "days"})),
        (
            '{"explanation": "days", "note": "sure", "version": 2, "confidence": 0.5, '
            '"tags": ["a", "é"], "none": null}',
            Said({"explanation": "days", "confidence": "0.5", "tags": '["a", "é"]'}, "sure", "2"),
        ),
        ('```json\n{"explanation": "days"}\n```', Said({"explanation": "days"})),
        ('"days"', Said({"explanation": '"days"'})),
    ],
)
def test_an_explanation_is_read(printed: str, said: Said) -> None:
    assert read_explanation(printed) == said


@pytest.mark.parametrize(
    ("printed", "reason", "message"),
    [
        (" \n", "silent", "nothing"),
        ('{"explanation": " "}', "silent", "empty"),
        ('{"explanation": null}', "silent", "empty"),
        ('{"explanation": "days"', "invalid", "broken"),
        ('{"label": "days"}', "invalid", "'explanation'"),
        ('{"explanation": "x", "star": "me"}', "invalid", "'star'"),
        ("a\0b", "invalid", "NUL"),
        (r'{"explanation": "\ud800"}', "invalid", "surrogate"),
        (json.dumps({"explanation": "x", "k" * 81: 1}), "invalid", "81 characters"),
        ("x" * (LONGEST_VALUE + 1), "invalid", f"{LONGEST_VALUE + 1:,} characters"),
        ('{"explanation":' + "[" * 100_000, "invalid", "broken"),
    ],
)
def test_what_is_no_explanation_is_refused(printed: str, reason: str, message: str) -> None:
    trouble = read_explanation(printed)
    assert isinstance(trouble, Trouble)
    assert trouble.reason == reason
    assert message in trouble.message
    assert "\n" not in trouble.message


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("[true, false, null]", None),
        ("[1, 0, null]", None),
        ("The second [of 3] does not: [1, 0, null]. Done.", None),
        ('{"activates": [true, 0, null], "version": "v1"}', "v1"),
        ("```\n[1, 0, null]\n```", None),
    ],
)
def test_verdicts_are_read(printed: str, version: str | None) -> None:
    assert read_verdicts(printed, 3) == ([True, False, None], version)


@pytest.mark.parametrize(
    ("printed", "reason", "message"),
    [
        ("", "silent", "nothing"),
        ("yes, no, yes", "invalid", "no JSON list"),
        ("[1, 0]", "invalid", "2 of 3"),
        ("[1, 0, 2]", "invalid", "2 is none"),
        ("[1, 0, 0.0]", "invalid", "0.0 is none"),
        ('[1, 0, "yes"]', "invalid", '"yes" is none'),
        ('{"said": [1, 0, 1]}', "invalid", "no JSON list"),
    ],
)
def test_what_are_no_verdicts_is_refused(printed: str, reason: str, message: str) -> None:
    trouble = read_verdicts(printed, 3)
    assert isinstance(trouble, Trouble)
    assert trouble.reason == reason
    assert message in trouble.message


@pytest.mark.parametrize(
    ("said", "counts", "shares"),
    [
        # Four examples and then four controls; what was counted and divided by hand.
        ("1110 0001", (3, 1, 3, 1, 0), (0.75, 0.75, 0.75)),
        ("1111 0000", (4, 0, 4, 0, 0), (1, 1, 1)),
        ("0000 0000", (0, 0, 4, 4, 0), (0.5, None, 0)),
        ("1111 1111", (4, 4, 0, 0, 0), (0.5, 0.5, 1)),
        ("1?0? 01?0", (1, 1, 2, 1, 3), ((1 / 2 + 2 / 3) / 2, 0.5, 0.5)),
        ("???? 0001", (0, 1, 3, 0, 4), (None, 0, None)),
        ("1111 ????", (4, 0, 0, 0, 4), (None, 1, 1)),
    ],
)
def test_confusion_is_what_a_hand_counts(
    said: str, counts: tuple[int, ...], shares: tuple[Any, ...]
) -> None:
    verdicts = [{"1": True, "0": False, "?": None}[sign] for sign in said.replace(" ", "")]
    found = Confusion.count([True] * 4 + [False] * 4, verdicts)
    assert found == Confusion(*counts)
    assert (found.balanced_accuracy, found.precision, found.recall) == pytest.approx(shares)
