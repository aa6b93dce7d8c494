"""Values of a result as people read them: few digits, and nothing that acts or hides."""

import ast
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurondb.formatting.cells import format_cell, quote_text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.5, "0.5000"),
        (-1.0, "-1.000"),
        (1234.5, "1234"),
        (123456.7, "123457"),
        (1e-7, "1.000e-07"),
        (1e12, "1.000e+12"),
        (float("inf"), "inf"),
        (Decimal("0.25"), "0.2500"),
        (12, "12"),
        (None, "–"),
        (b"\x00\xff", "00ff"),
        ("dog", "dog"),
        (" dog", "' dog'"),
        ("\n", r"'\n'"),
        ("", "''"),
        ("–", "'–'"),
        ("it's", "it's"),
        ("\x1b[31m", r"'\x1b[31m'"),
        ("\\xe2", "\\xe2"),
    ],
)
def test_a_cell_for_people(value: Any, shown: str) -> None:
    assert format_cell(value) == shown


@given(st.text())
def test_quoting_is_reversible_and_harmless(text: str) -> None:
    shown = quote_text(text)
    assert shown.isprintable()
    assert (ast.literal_eval(shown) if shown[0] in "'\"" else shown) == text
