"""A token by its text, its id, and every way in which it is shown."""

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from neurondb.contracts.tokens import SplitRequest
from neurondb.database import connect, open_existing, parse_url
from neurondb.errors import CheckpointError, ExpressionError, UnknownNameError
from neurondb.find import count, find, token_names
from neurondb.find.token_names import _keep_sharing_letters, find_tokens
from neurondb.reading.models import find_model
from neurondb.reading.tokens import NamedToken
from tests.support.sample_database import build
from tests.support.sample_facts import NEURONS, VOCABULARY, Sample

ODD = (
    *(("A", "<0x41>"), ("A", "A"), ("\xa0", "Âł"), ("\\xa0", "ł"), ("'x'", "'x'"), ("x", "x")),
    *(("<|bos|>", "<|bos|>"), ("\n\n", "ĊĊ"), ("␣", "âĲ£"), (" dogs", "Ġdogs")),
)
"""Texts and pieces beyond those of the sample, from id 900."""


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = build(tmp_path_factory.mktemp("odd") / "odd.db").path
    engine = connect(parse_url(str(path)), writing=True)
    with engine.begin() as connection:
        for i, (token, piece) in enumerate(ODD, 900):
            sql = text(
                "INSERT INTO tokens (model_id, token_id, token, piece) VALUES (1, :i, :t, :p)"
            )
            connection.execute(sql, {"i": i, "t": token, "p": piece})
    engine.dispose()
    engine = open_existing(str(path))
    yield engine
    engine.dispose()


def called(engine: Engine, *spelled: str, model: str = "sample-llama") -> tuple[NamedToken, ...]:
    with engine.connect() as connection:
        return find_tokens(connection, find_model(connection, model), spelled)


@pytest.mark.parametrize("token", [*VOCABULARY, *(t for t, _ in ODD)])
def test_what_is_shown_names_the_same_token(token: str, odd: Engine) -> None:
    assert {one.token for one in called(odd, repr(token))} == {token}


@pytest.mark.parametrize("token", [t for t in VOCABULARY if not t.startswith("#")])
def test_a_text_is_taken_as_it_is(token: str, odd: Engine) -> None:
    assert {one.token for one in called(odd, token)} == {token}


@pytest.mark.parametrize(
    ("spelled", "ids"),
    [
        ("#3", [3]),
        ("'#1'", [VOCABULARY.index("#1")]),
        ("␣dog", [0]),
        ("⏎", [VOCABULARY.index("\n")]),
        (r"\n", [VOCABULARY.index("\n")]),
        (r"\x1b[31m", [VOCABULARY.index("\x1b[31m")]),
        (r"\u202e", [VOCABULARY.index("\u202e")]),
        ("A", [900, 901]),
        ("<0x41>", [900, 901]),
        ("Ġdogs", [909]),
        ("<|bos|>", [906]),
        (r"\xa0", [903]),
        (r"'\xa0'", [902]),
        (r"'\\xa0'", [903]),
        ("␣", [908]),
        ("'x'", [905]),
        ("\"'x'\"", [904]),
    ],
)
def test_other_spellings(spelled: str, ids: list[int], odd: Engine) -> None:
    assert [one.token_id for one in called(odd, spelled)] == ids


def test_a_token_named_twice_is_one(odd: Engine) -> None:
    assert [one.token_id for one in called(odd, " cat", "#0", "' dog'", " dog")] == [3, 0]


@pytest.mark.parametrize(
    ("spelled", "said"),
    [
        ("#12345", r"#12345.*sample-llama.*\b25\b"),
        ("DOG", "'DOG'.*sample-llama.*'dog', ' dog'"),
        (" dgo", "' dgo'.*' dog'"),
        ("xyzzy", "'xyzzy'"),
        ("'xyzzy'", "(?<!\")'xyzzy'(?!\")"),
    ],
)
def test_what_is_no_token_is_told(spelled: str, said: str, odd: Engine) -> None:
    with pytest.raises(UnknownNameError, match=said) as told:
        called(odd, spelled)
    assert "\n" not in str(told.value)


Split = Callable[[SplitRequest], list[int] | None]


def splitting(monkeypatch: pytest.MonkeyPatch, split: Split) -> None:
    monkeypatch.setattr(token_names, "load_job", lambda _name: split)


def test_several_tokens_are_named_with_their_ids(
    odd: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    splitting(monkeypatch, lambda request: [0, 13] if request.text == " dog<b>" else None)
    expected = r"' dog<b>'.*' dog' #0, '<b>' #13$"
    with pytest.raises(UnknownNameError, match=expected):
        called(odd, " dog<b>")
    with odd.connect() as connection, pytest.raises(UnknownNameError, match=expected):
        token_names.require_token(connection, " dog<b>", ["sample-llama"])


def test_letters_turned_round_are_told_beside_the_tokens_that_a_text_is(
    odd: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    splitting(monkeypatch, lambda _request: [0, 13])
    with pytest.raises(UnknownNameError, match=r"it is 2 tokens: .*; there is ' dog'$"):
        called(odd, " dgo")
    with pytest.raises(UnknownNameError, match=r"it is 2 tokens: ' dog' #0, '<b>' #13$"):
        called(odd, " dxog")


def test_another_spelling_of_one_token(odd: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    splitting(monkeypatch, lambda _request: [0])
    with pytest.raises(UnknownNameError, match=r"▁▁dog.*' dog' #0"):
        called(odd, "▁▁dog")


def test_a_tokenizer_that_cannot_be_read_is_no_matter(
    odd: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_request: SplitRequest) -> list[int]:
        raise CheckpointError("no tokenizer can be read there")

    splitting(monkeypatch, broken)
    with pytest.raises(UnknownNameError, match="'xyzzy'"):
        called(odd, "xyzzy")


def changed(tmp_path: Path, sql: str) -> Engine:
    path = build(tmp_path / "n.db").path
    engine = connect(parse_url(str(path)), writing=True)
    with engine.begin() as connection:
        connection.execute(text(sql))
    return engine


def test_without_a_tokenizer_ids_are_the_names(tmp_path: Path) -> None:
    engine = changed(tmp_path, "UPDATE tokens SET token = '[token ' || token_id || ']'")
    with pytest.raises(UnknownNameError, match=r"tokenizer.*#5"):
        called(engine, " dog")
    assert called(engine, "#5") == (NamedToken(5, "[token 5]"),)
    assert called(engine, "[token 5]") == (NamedToken(5, "[token 5]"),)
    engine.dispose()


def test_without_the_vocab_stage_the_command_that_ingests_it_is_told(tmp_path: Path) -> None:
    engine = changed(tmp_path, "DELETE FROM tokens WHERE model_id = 1")
    for spelled in (" dog", "#0"):
        with pytest.raises(UnknownNameError, match=r"`neurondb ingest .* --stages vocab`"):
            called(engine, spelled)
    engine.dispose()


# --- the same in `find` --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spelled", "token"),
    [
        (r"'\x1b[31m'", "\x1b[31m"),
        (r"'\u202e'", "\u202e"),
        ("'␣dog'", " dog"),
        ("'⏎'", "\n"),
        (r"'\xe2'", "\\xe2"),
    ],
)
def test_find_takes_them_too(
    spelled: str, token: str, sample: Sample, sample_engine: Engine
) -> None:
    expected = {
        (n["model"], n["name"]) for n in sample.neurons if token in sample.top[n["neuron_id"], 8]
    }
    found = find(sample_engine, f"promotes={spelled}", columns=("model", "name"))
    assert set(found.rows) == expected
    assert expected


def test_a_negated_token_is_looked_up_too(sample_engine: Engine) -> None:
    every = count(sample_engine, "")
    assert count(sample_engine, "not token='␣dog'") == every - count(sample_engine, "token=' dog'")


@pytest.mark.parametrize(
    "expression",
    [
        "gate.token=' dog' out.token=' cat'",
        "in.token=' dog',' cat'@3 model=sample-llama",
        "out.bottom.token=#3 or lm_head.token=' dog'",
        "lm_head.token=' dog',' cat'",
        "gate.top.embed.token=' dog' and in.bottom.token=' cat' and out.token=' Dog'@1",
    ],
)
def test_token_questions_touch_no_whole_table(expression: str, sample_engine: Engine) -> None:
    from neurondb.find.columns import ResultShape
    from neurondb.find.search import explain_find

    plan = explain_find(sample_engine, expression, ResultShape(limit=10)).split("-- plan:")[1]
    steps = [line.strip("- ") for line in plan.splitlines() if line.startswith("--")]
    by_index = ("top_token_rows_token (token_id=? AND list_id=?", "lm_head_tokens_token_id (token_")
    assert any(index in step for step in steps for index in by_index)
    assert {step for step in steps if step.startswith("SCAN")} <= {"SCAN m"}  # the models


def test_a_choice_of_many_tokens_is_answered(sample_engine: Engine) -> None:
    two = count(sample_engine, "token=#0,#3")
    ranks = (f"token=#0,#3@{n}" for n in range(4, 600))  # SQLite unites no more than 500 lists
    assert count(sample_engine, " or ".join(ranks)) == two


def test_ranks_may_follow_an_id(sample: Sample, sample_engine: Engine) -> None:
    expected = [
        n["name"] for n in sample.neurons[:NEURONS] if sample.top[n["neuron_id"], 8][0] == " dog"
    ]
    found = find(sample_engine, "out.token=#0@1 model=sample-llama", columns=("name",))
    assert sorted(name for (name,) in found.rows) == sorted(expected)
    assert count(sample_engine, "out.token=#3,#0@1") == count(sample_engine, "out.token=#0,#3@1")
    for wrong in ("out.token=#0@0", "out.token=#0@", "lm_head.token=#0@2"):
        with pytest.raises(ExpressionError):
            count(sample_engine, wrong)


WORDS = st.text(alphabet="abcdeé ", min_size=1, max_size=8)


@given(WORDS, st.lists(WORDS, max_size=30))
def test_leaving_out_what_shares_too_few_letters_changes_no_match(
    token: str, candidates: list[str]
) -> None:
    near = _keep_sharing_letters(token, candidates)

    assert difflib.get_close_matches(token, near) == difflib.get_close_matches(token, candidates)
