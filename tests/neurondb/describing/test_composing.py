"""Descriptions of neurons whose evidence is made by hand: what is said, and in which order."""

import random
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len

from neurondb.describing.composing import LONGEST, compose, is_nothing
from neurondb.describing.evidence import Effect, Evidence, Family, Firing, Head, Tokens
from neurondb.describing.parts import format_number, format_signed_number

PLAIN = Evidence(
    class_name="orthogonal output", gate_out=0.02, in_out=-0.08, frequency=0.31, sign=1
)
DOG = Firing("on", ("␣dog", "␣cat"), 9, 16, 60.0)


def test_of_a_plain_neuron_nothing_stands_out() -> None:
    line = compose(PLAIN)
    assert line == "nothing stands out: orthogonal output (in·out −.08) · active on 31%"
    assert is_nothing(line)
    assert compose(Evidence()) == "nothing stands out of what is stored"


def test_what_is_most_telling_comes_first() -> None:
    weak, strong = Tokens(("␣sun",), 0.25, 1.1), Tokens(("␣sun",), 0.75, 3.4)
    firing = replace(PLAIN, firing={1: DOG})
    assert compose(replace(firing, out_top=weak)) == (
        "fires on ␣dog ␣cat (9/16) · promotes ␣sun (.25) · active on 31%"
    )
    assert compose(replace(firing, out_top=strong)) == (
        "promotes ␣sun (.75) · fires on ␣dog ␣cat (9/16) · active on 31%"
    )


def test_promoted_is_meant_where_the_neuron_fires_most() -> None:
    ends: dict[str, Any] = {
        "out_top": Tokens(("up",), 0.5, 2.0),
        "out_bottom": Tokens(("down",), 0.4, 1.7),
    }
    positive = replace(PLAIN, firing={1: DOG}, **ends)
    negative = replace(PLAIN, firing={-1: DOG}, sign=-1, **ends)
    assert compose(positive).startswith("fires on ␣dog ␣cat (9/16) · promotes up (.50)")
    assert "suppresses down (.40)" in compose(positive)
    assert compose(negative).startswith("fires (−) on ␣dog ␣cat (9/16) · suppresses up (.50)")
    assert "promotes down (.40)" in compose(negative)


def test_the_other_sign_is_told_where_it_comes_close() -> None:
    other = Firing("after", ("␣New",), 16, 16, 80.0)
    both = replace(PLAIN, firing={1: DOG, -1: other})
    assert "also" not in compose(replace(both, balance=0.3))
    assert compose(replace(both, balance=0.5)) == (
        "fires on ␣dog ␣cat (9/16) · also (−) after ␣New (16/16) · active on 31%"
    )


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"class_name": "weakening", "in_out": -0.62}, "weakening (in·out −.62) · active on 31%"),
        (
            {"class_name": "proportional change", "gate_out": 0.71},
            "proportional change (gate·out +.71) · active on 31%",
        ),
        (
            {"role": "suppression", "kurtosis": 21.4},
            "suppression neuron (kurtosis 21) · active on 31%",
        ),
        (
            {"role": "partition", "variance": 0.0071},
            "partition neuron (variance .0071) · active on 31%",
        ),
        ({"family": Family("month", 0.61, -1)}, "(−) month explains .61 · active on 31%"),
        ({"head": Head("9.3", 0.4, 6.2)}, "turns off head 9.3 (6.2 sd) · active on 31%"),
        ({"head": Head("9.3", -0.4, -6.2)}, "turns on head 9.3 (6.2 sd) · active on 31%"),
        ({"effects": (Effect("year", -6.2, 7.0),)}, "suppresses year (6.2σ) · active on 31%"),
        ({"gate": Tokens(("␣dog",), 0.3, 1.5)}, "reads ␣dog (gate .30) · active on 31%"),
        ({"class_name": "undefined", "in_out": None}, "a weight vector is zero · active on 31%"),
        ({"frequency": 0.0}, "never active"),
        ({"frequency": 0.00004, "firing": {1: DOG}}, "fires on ␣dog ␣cat (9/16) · active on <.01%"),
    ],
)
def test_each_part_has_its_number(changes: dict[str, object], line: str) -> None:
    assert compose(replace(PLAIN, **changes)) == line  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("firing", "test", "line"),
    [
        (DOG, "word: dog", "fires on ␣dog ␣cat (9/16, explains .61)"),
        (
            Firing("on", ("month", "␣May"), 9, 16, 60.0, True),
            "month",
            "fires on month: ␣May (9/16, explains .61)",
        ),
        (
            DOG,
            "previous: word: dog",
            "previous: word: dog explains .61 · fires on ␣dog ␣cat (9/16)",
        ),
    ],
)
def test_a_test_of_the_same_tokens_stands_beside_them(firing: Firing, test: str, line: str) -> None:
    evidence = replace(PLAIN, firing={1: firing}, family=Family(test, 0.61, 1))
    assert compose(evidence) == f"{line} · active on 31%"


def test_no_line_is_too_long_and_the_first_part_is_never_lost() -> None:
    draw = random.Random(0)
    for _ in range(300):
        words = tuple("␣" + "w" * draw.randint(1, 13) for _ in range(3))
        tokens: dict[str, Any] = {
            name: Tokens(words, draw.random(), 1 + 2 * draw.random())
            for name in ("gate", "in_top", "in_bottom", "out_top", "out_bottom")
        }
        firing = {
            sign: Firing(
                "before", ("starts with vowel", *words[1:]), 12, 16, 90 * draw.random(), True
            )
            for sign in (1, -1)
        }
        evidence = Evidence(
            class_name="atypical conditional strengthening",
            in_out=0.6,
            frequency=draw.random(),
            sign=draw.choice((1, -1)),
            balance=draw.random(),
            firing=firing,
            effects=(Effect("first-person pronoun", 4.1, 9.0),),
            role="prediction",
            kurtosis=33.0,
            family=Family("previous: first-person pronoun", 0.4, 1),
            head=Head("31.31", 0.5, 7.5),
            **tokens,
        )
        line = compose(evidence)
        assert cell_len(line) <= LONGEST
        assert line == compose(evidence)
        assert line.count(" · ") >= 1


def test_numbers_are_written_short() -> None:
    assert [format_number(x) for x in (0.314, 0.996, 1.0, 0.004)] == [".31", "1.00", "1.00", ".00"]
    assert [format_signed_number(x) for x in (-0.62, 0.5)] == ["−.62", "+.50"]
