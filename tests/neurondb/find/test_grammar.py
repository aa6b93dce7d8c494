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
        ("weakning", "unknown word 'weakning' at character 1; did you mean 'weakening'"),
        ("layer>3 predction", "unknown word 'predction' at character 9.*'prediction'"),
        ("cond", "'cond' at character 1 could be conditional-strengthening, conditional-weakening"),
        ("atyp cond", "could be atypical-conditional-strengthening, atypical-conditional-weak"),
        ("frq>0.5", "unknown key 'frq' at character 1; did you mean 'freq'"),
        ("freq", "freq at character 1 needs a comparison"),
        ("freq>", "expected a value at the end, found nothing"),
        ("freq>high", "'high' at character 6 is not a number"),
        ("freq=nan", "'nan' at character 6 is not a number"),
        ("freq>1e999", "too large"),
        ("freq=..", "needs a number before or after"),
        ("layer>3,4", "a list at character 9 needs ="),
        ("model>x", "model at character 7 takes = or !=, not >"),
        ("class=conditional weakening", "'conditional' at character 7 could be"),
        ("class=wekening", "unknown class 'wekening'"),
        ("role=predicts", "unknown role 'predicts'"),
        ("name=31", "'31' at character 6 is not a neuron"),
        ("gat.token=x", "unknown qualifier 'gat' at character 1; did you mean 'gate'"),
        ("token>x", "token at character 1 takes = or !="),
        ("token=#x", "'#x' at character 7 is not a token id"),
        ("token='x'@first", "'@first' at character 10 is not a number of places"),
        ("token='x'@0", "'@0' at character 10 is not a number of places from 1"),
        ("lm-head.out.token=x", "lm-head has one list only; write lm-head.token"),
        ("layer=5..2", "'5..2' at character 7 is turned round; write 2..5"),
        ("freq=60%..20%", "write 20%..60%"),
        ("layer=-1", "layer is a whole number from 0, not '-1' at character 7"),
        ("neuron>1.5", "neuron is a whole number from 0, not '1.5'"),
        ("freq>60", "freq is a share between 0 and 1, not '60' at character 6; did you mean 60%"),
        ("gate+_in->=-0.1", "gate_pos_in_neg is a share between 0 and 1, not '-0.1'"),
        ("|freq|=0.2..200", "freq is a share between 0 and 1, not '200' at character 8$"),
        ("x" * 500, f"unknown word '{'x' * 60}…' at character 1"),
        ("token=' dog", "the quote ' at character 7 is not closed"),
        ("property.year", "property.year at character 1 needs a comparison"),
        ("property<-1", "takes = or !=, not <; for a number write property.NAME"),
        ("property.>1", "'property.' at character 1 lacks a name"),
        ("property.year<1", "effects weaker than 0.5 are not stored; ask for 0.5 or more"),
        ("property.year>=-2", "effects weaker than 0.5"),
        ("property.year>0.3", "effects weaker than 0.5"),
        ("|property.year|<2", "effects weaker than 0.5"),
        ("property.year=-1..1", "effects weaker than 0.5"),
        ("property.year=0.2", "effects weaker than 0.5"),
        ("property.year=null", "effects weaker than 0.5"),
        ("property.year<often", "'often' at character 15 is not a number"),
        ("propery=year", "unknown key 'propery' at character 1; did you mean 'property'"),
        ("(weakening", "the parenthesis at character 1 is not closed"),
        ("weakening)", r"unexpected '\)' at character 10"),
        ("weakening or", "expected a condition at the end"),
        ("and weakening", "expected a condition at character 1, found 'and'"),
        ("!weakening", "cannot read '!' at character 1"),
        ("> 3", "expected a condition at character 1, found '>'"),
        ("(" * 500 + "dead" + ")" * 500, "nested deeper than 100 levels"),
        ("not " * 500 + "dead", "nested deeper than 100 levels"),
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
