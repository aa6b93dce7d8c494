"""The page of a comparison: its layout at widths and sizes that no test model has."""

import io
from dataclasses import replace

import pytest

from neurondb.reading.comparisons import (
    CLASS_NAMES,
    ComparisonPage,
    Migration,
    MovedNeuron,
    Summary,
)
from neurondb.reading.models import Model
from neurondb.reading.pairs import Vocabularies
from neurondb.terminal.comparison import draw_comparison_page
from neurondb.terminal.console import open_console

LAYERS, WIDTH = 32, 14336


def model(number: int, name: str) -> Model:
    shape = (LAYERS, 4096, WIDTH, 128256, 1)
    return Model(number, name, "here", None, "llama", True, "silu", *shape, 0.5, None)


def page() -> ComparisonPage:
    layers = [
        Summary(n, WIDTH, WIDTH, WIDTH * 3 // 4, 0.99997, 0.9989, 1.0, n, 0.125)
        for n in range(LAYERS)
    ]
    moved = [
        MovedNeuron(
            *(31, 14335 - n, -0.9, None, 0.5, 1.9, "weakening", CLASS_NAMES[3], False),
            *("\x1b[31mred", " dog", "\u202e", "\u202e"),
        )
        for n in range(10)
    ]
    return ComparisonPage(
        before=model(1, "base"),
        after=model(2, "tuned"),
        threshold=0.5,
        created_at="2026-01-02T03:04:05+00:00",
        vocabularies=Vocabularies(True, False, 0, 128256),
        without_vocab=(),
        whole=replace(layers[0], layer=None, n=LAYERS * WIDTH, n_changed=496),
        layers=tuple(layers),
        migration=tuple(
            Migration(a, b, 389_123 if a == b == "orthogonal output" else 7)
            for a in CLASS_NAMES
            for b in CLASS_NAMES
        ),
        n_negated=0,
        moved=tuple(moved),
    )


def shown(what: ComparisonPage, width: int) -> list[str]:
    stream = io.StringIO()
    made = open_console(stream, width)
    made.print(draw_comparison_page(what, made.width), crop=False)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_a_large_model_fits(width: int) -> None:
    lines = shown(page(), width)
    assert max(map(len, lines)) <= width
    assert not any(set(line) & {"\x1b", "\u202e"} for line in lines)


def test_many_layers_stand_side_by_side_where_there_is_room() -> None:
    narrow, wide = shown(page(), 80), shown(page(), 120)
    heads = [max(line.split().count("layer") for line in lines) for lines in (narrow, wide)]
    assert heads == [1, 2]
    assert len(narrow) - len(wide) >= LAYERS // 2


def test_few_layers_stay_one_table() -> None:
    lines = shown(replace(page(), layers=page().layers[:5]), 160)
    assert max(line.split().count("layer") for line in lines) == 1


def test_only_classes_that_occur_have_rows_and_columns() -> None:
    some = (Migration("orthogonal output", "weakening", 3), Migration("weakening", "weakening", 5))
    lines = shown(replace(page(), migration=some), 80)
    start = next(i for i, line in enumerate(lines) if line.startswith("classes:"))
    assert [line.split() for line in lines[start + 1 : start + 4]] == [
        ["weak"],
        ["orth", "3"],
        ["weak", "5"],
    ]
    assert lines[start + 4] == "weak weakening · orth orthogonal output"


def test_what_stands_between_four_digits_and_one_is_said() -> None:
    text = "\n".join(shown(page(), 80))
    assert "median cosine: gate 1-3.0e-5, in 0.9989, out 1" in text


@pytest.mark.parametrize(
    ("vocabularies", "said"),
    [
        (Vocabularies(False, False, 12, 512), "12 of 512 ids in what text they stand for"),
        (Vocabularies(False, False, 0, 512), "the tokenizers differ, no id in what text"),
        (Vocabularies(False, True, 512, 512), "only one of them has a tokenizer"),
    ],
)
def test_tokenizers_that_differ_are_told(vocabularies: Vocabularies, said: str) -> None:
    text = " ".join(shown(replace(page(), vocabularies=vocabularies), 80))
    assert said in text


def test_another_threshold_of_the_second_model_is_told() -> None:
    other = replace(page(), after=replace(model(2, "tuned"), threshold=0.3))
    assert "! tuned shows its classes at τ = 0.3" in shown(other, 80)
