"""What `find` says about expressions it cannot understand, and that it always says something."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurondb.errors import ExpressionError
from neurondb.find.grammar import parse
from neurondb.find.terms import And, HasToken, OneOf


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("weakning", "'weakning'.*character 1\\b.*'weakening'"),
        ("layer>3 predction", "'predction'.*character 9.*'prediction'"),
        ("cond", "'cond'.*character 1.*conditional-strengthening, conditional-weakening"),
        ("atyp cond", "atypical-conditional-strengthening, atypical-conditional-weak"),
        ("frq>0.5", "'frq'.*character 1.*'freq'"),
        ("freq", "freq.*character 1.*comparison"),
        ("freq>", "value.*end"),
        ("freq>high", "'high'.*character 6.*number"),
        ("freq=nan", "'nan'.*character 6.*number"),
        ("freq>1e999", "too large"),
        ("freq=..", "number"),
        ("layer>3,4", "list.*character 9.*="),
        ("model>x", "model.*character 7.*= or !=.*>"),
        ("class=conditional weakening", "'conditional'.*character 7"),
        ("class=wekening", "class.*'wekening'"),
        ("role=predicts", "role.*'predicts'"),
        ("name=31", "'31'.*character 6.*neuron"),
        ("gat.token=x", "'gat'.*character 1.*'gate'"),
        ("token>x", "token.*character 1.*= or !="),
        ("token=#x", "'#x'.*character 7.*id"),
        ("token='x'@first", "'@first'.*character 10.*number"),
        ("token='x'@0", "'@0'.*character 10.*number.*1"),
        ("lm-head.out.token=x", r"lm-head.*lm-head\.token"),
        ("layer=5..2", r"'5\.\.2'.*character 7.*2\.\.5"),
        ("freq=60%..20%", r"20%\.\.60%"),
        ("layer=-1", "layer.*'-1'.*character 7"),
        ("neuron>1.5", r"neuron.*'1\.5'"),
        ("freq>60", "freq.*'60'.*character 6.*60%"),
        ("gate+_in->=-0.1", r"gate_pos_in_neg.*'-0\.1'"),
        ("|freq|=0.2..200", "freq.*'200'.*character 8$"),
        ("x" * 500, f"'{'x' * 60}….*character 1"),
        ("token=' dog", "quote.*character 7"),
        ("property.year", r"property\.year.*character 1.*comparison"),
        ("property<-1", r"= or !=.*<.*property\.NAME"),
        ("property.>1", r"'property\.'.*character 1"),
        ("property.year<1", r"0\.5"),
        ("property.year>=-2", r"0\.5"),
        ("property.year>0.3", r"0\.5"),
        ("|property.year|<2", r"0\.5"),
        ("property.year=-1..1", r"0\.5"),
        ("property.year=0.2", r"0\.5"),
        ("property.year=null", r"0\.5"),
        ("property.year<often", "'often'.*character 15.*number"),
        ("propery=year", "'propery'.*character 1.*'property'"),
        ("(weakening", "parenthesis.*character 1"),
        ("weakening)", r"'\)'.*character 10"),
        ("weakening or", "condition.*end"),
        ("and weakening", "condition.*character 1.*'and'"),
        ("!weakening", "'!'.*character 1"),
        ("> 3", "condition.*character 1.*'>'"),
        ("(" * 500 + "dead" + ")" * 500, "100"),
        ("not " * 500 + "dead", "100"),
    ],
)
def test_error_names_the_word_and_its_place(text: str, said: str) -> None:
    with pytest.raises(ExpressionError, match=said) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def refusal(text: str) -> str:
    """Return what the parser objects to; nothing when it does not. Other errors come through."""
    try:
        parse(text)
    except ExpressionError as error:
        return str(error)
    return ""


@given(st.text(max_size=40))
def test_any_text_parses_or_is_refused_in_one_line(text: str) -> None:
    assert len(refusal(text).splitlines()) <= 1


PIECES = (
    *("weakening", "cond", "freq", "token", "gate.token", "31.9634", "not", "or", "and", "0.5"),
    *("(", ")", ",", "=", ">", "!=", "' dog'", "..", "@2", "#5", "|in_out|", "null", "%"),
)


@given(st.lists(st.sampled_from(PIECES), max_size=12), st.sampled_from(["", " "]))
def test_any_order_of_words_parses_or_is_refused(pieces: list[str], between: str) -> None:
    refusal(between.join(pieces))


def test_exact_name_wins_over_longer_ones() -> None:
    assert parse("weakening") == OneOf("class", ("weakening",))
    assert parse("atypical") != parse("atypical weakening")


def test_words_of_a_name_are_taken_together_before_a_word_alone() -> None:
    assert parse("conditional weakening dead") == And((parse("cond-weak"), parse("dead")))


def test_rank_stands_apart_from_an_unquoted_token() -> None:
    assert parse("token=x@3") == HasToken("x@3", (0, 4, 8))
    assert parse("token=x @3") == parse("token='x'@3") == HasToken("x", (0, 4, 8), within=3)
