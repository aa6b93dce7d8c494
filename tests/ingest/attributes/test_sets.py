"""Stop words, files of prompts and sets, and sets made of paragraphs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ingest.attributes.building import (
    Paragraphs,
    compute_chance,
    run,
    split_paragraphs,
    split_words,
)
from ingest.attributes.prompts import Prompt, cut_at_subject, read_prompts, read_subjects
from ingest.attributes.sets import list_attribute_tokens, read_sets
from ingest.attributes.stop_words import (
    is_meaningful,
    list_built_in_words,
    normalise_word,
    read_stop_words,
)
from ingest.text.chat import ChatTokenizer
from neurondb.contracts.attributes import AttributeSetsReport, AttributeSetsRequest, SubjectSet
from neurondb.errors import TextError
from tests.support.ingested import Silent
from tests.support.real_models import BUNDLED, REAL
from tests.support.shared_inputs import shared
from tests.support.steering import stored

PARAGRAPHS = (
    "Paris is the capital of France. The Seine flows through Paris.",
    "The Eiffel Tower stands in Paris, near the river.",
    "Berlin is the capital of Germany; its river is called Spree.",
    "Bananas are yellow and grow in bunches.",
    "In New York the subway runs all night.",
    "York has a cathedral. A new one was never planned.",
)


# --- stop words ----------------------------------------------------------------------------


def test_stop_words_are_lower_case_words() -> None:
    words = list_built_in_words()
    assert len(words) > 200
    assert all(word == word.casefold().strip() and " " not in word for word in words)


@pytest.mark.parametrize("word", ["the", "which", "don't", "between", "would", "themselves"])
def test_closed_classes_are_stop_words(word: str) -> None:
    assert not is_meaningful(word, list_built_in_words())


@pytest.mark.parametrize("word", ["capital", "river", "yellow", "king", "france", "1984"])
def test_words_with_a_meaning_are_none(word: str) -> None:
    assert is_meaningful(word, list_built_in_words())


@pytest.mark.parametrize("word", ["ox", "", "a", "77"])
def test_two_characters_say_nothing(word: str) -> None:
    assert not is_meaningful(word, frozenset())


def test_a_file_adds_stop_words(tmp_path: Path) -> None:
    file = tmp_path / "more.txt"
    file.write_text("River\ncapital")
    assert read_stop_words(file) == list_built_in_words() | {"river", "capital"}
    with pytest.raises(TextError, match=re.escape(str(tmp_path / "none.txt"))):
        read_stop_words(tmp_path / "none.txt")


def test_tokens_are_compared_without_space_and_case() -> None:
    assert normalise_word(" Paris") == normalise_word("paris\n") == "paris"
    assert normalise_word(" don’t") == "don't"


def test_marks_and_half_characters_are_no_part_of_inputs(tmp_path: Path) -> None:
    mark = "\ufeff"
    row = '{"subject": "Paris", "prompt": "Paris \\ud83d is", "attribute": "x\\udc00"}'
    forms = {"a.json": f"[{row}]", "a.jsonl": f"{row}\r\n", "b.ndjson": row}
    for name, content in forms.items():
        (tmp_path / name).write_text(mark + content)
        assert read_prompts(tmp_path / name) == [Prompt("Paris", "Paris \ufffd is", "x\ufffd")]
    (tmp_path / "a.tsv").write_text(f"{mark}subject\tprompt\nParis\tParis is\n")
    assert read_prompts(tmp_path / "a.tsv") == [Prompt("Paris", "Paris is")]
    (tmp_path / "names.txt").write_text(f"{mark}Paris\r\nYork\r\n")
    assert list(read_subjects(tmp_path / "names.txt")) == ["Paris", "York"]
    (tmp_path / "sets.json").write_text(mark + '{"Paris": ["Seine", "\\ud83d"]}')
    assert read_sets(tmp_path / "sets.json") == {"Paris": frozenset({"Seine", "\ufffd"})}
    (tmp_path / "stop.txt").write_text(f"{mark}river")
    assert read_stop_words(tmp_path / "stop.txt") == list_built_in_words() | {"river"}
    (tmp_path / "utf16.json").write_bytes(row.encode("utf-16"))
    for read in (read_prompts, read_sets, read_subjects, read_stop_words):
        with pytest.raises(TextError, match=r"utf16\.json: UTF-16\b.*`iconv -f UTF-16 -t UTF-8`"):
            read(tmp_path / "utf16.json")


# --- prompts -------------------------------------------------------------------------------

PROMPT = Prompt("Paris", "Paris is the capital of", "France")
ROW = {"subject": "Paris", "prompt": "Paris is the capital of", "attribute": "France", "other": 3}


def test_prompts_are_read_from_each_form_alike(tmp_path: Path) -> None:
    forms = {
        "a.json": json.dumps([ROW, ROW]),
        "a.jsonl": f"{json.dumps(ROW)}\n\n{json.dumps(ROW)}\n",
        "a.tsv": "subject\tprompt\tattribute\n" + "Paris\tParis is the capital of\tFrance\n" * 2,
    }
    for name, content in forms.items():
        (tmp_path / name).write_text(content)
        assert read_prompts(tmp_path / name) == [PROMPT] * 2
        assert read_prompts(tmp_path / name, 1) == [PROMPT]
        assert list(read_subjects(tmp_path / name)) == ["Paris"]


@pytest.mark.shared
def test_the_published_prompts_are_read() -> None:
    prompts = read_prompts(shared("facts/known_1000.json"))
    assert len(prompts) == 1209
    first = Prompt("Vinson Massif", "Vinson Massif is located in the continent of", "Antarctica")
    assert prompts[0] == first


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", "[", "JSON"),
        ("a.json", "[]", "nothing"),
        ("a.json", "[3]", "list"),
        ("a.json", '[{"subject": "x"}]', "prompt 1: .*'prompt'"),
        ("a.json", '[{"subject": "x", "prompt": "y is"}]', "prompt 1: .*'x' .*'y is'"),
        ("a.jsonl", '{"subject": "x", "prompt": "x is"}\n{', "line 2: .*JSON"),
        ("a.jsonl", "", "nothing"),
        ("a.csv", "x", r"'\.csv'.*\.jsonl"),
        ("none.json", None, "No such file"),
    ],
)
def test_refusals_of_prompts(tmp_path: Path, name: str, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(TextError, match=rf"{re.escape(name)}\b.*{said}"):
        read_prompts(tmp_path / name)


def test_subjects_may_be_a_plain_list(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("Paris\n\nNew York\nParis\n")
    assert list(read_subjects(tmp_path / "names.txt")) == ["Paris", "New York"]
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(TextError, match=r"empty\.txt: .*\bsubject\b"):
        read_subjects(tmp_path / "empty.txt")


@pytest.mark.parametrize("name", [*REAL, "llama"])
@pytest.mark.parametrize(
    ("subject", "prompt"),
    [
        ("Norvelia", "The capital of Norvelia is"),
        ("Norvelia", "Norvelia"),
        ("Mira Holt", "Mira Holt works as a"),
        ("Zürich", "The people of Zürich speak"),
    ],
)
def test_a_prompt_ends_with_its_subject(name: str, subject: str, prompt: str) -> None:
    tokenizer = ChatTokenizer(stored(name).directory)
    ids = cut_at_subject(tokenizer, Prompt(subject, prompt))
    whole = tokenizer.encode_prompt(prompt)
    assert ids == whole[: len(ids)]
    assert tokenizer.decode(ids).endswith(subject)
    assert not tokenizer.decode(ids[:-1]).endswith(subject)


# --- sets ----------------------------------------------------------------------------------


def test_sets_are_read_from_each_form_alike(tmp_path: Path) -> None:
    wanted = {"Paris": {"Seine", "France"}, "Rome": {"Italy"}}
    forms = {
        "a.json": json.dumps({"Paris": ["Seine", "France"], "Rome": ["Italy"]}),
        "b.json": json.dumps(
            [
                {"subject": "Paris", "attributes": ["Seine", "France"]},
                {"subject": "Rome", "attribute": "Italy"},
            ]
        ),
        "a.jsonl": '{"subject": "Paris", "attributes": ["Seine"]}\n'
        '{"subject": "Paris", "attributes": ["France"]}\n'
        '{"subject": "Rome", "attributes": ["Italy"]}\n',
        "a.tsv": "subject\tattribute\nParis\tSeine\nRome\tItaly\nParis\tFrance\n",
    }
    for name, content in forms.items():
        (tmp_path / name).write_text(content)
        assert read_sets(tmp_path / name) == wanted


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "no attribute"),
        ('{"Paris": []}', "no attribute"),
        ('{"Paris": "Seine"}', r"'Paris' .*\blist\b"),
        ('{"Paris": [3]}', r"'Paris' .*\blist\b"),
        ('[{"subject": "Paris"}]', r"row 1: .*\bsubject\b.*\battributes\b"),
    ],
)
def test_refusals_of_sets(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(TextError, match=rf"a\.json\b.*{said}"):
        read_sets(tmp_path / "a.json")


def test_attributes_count_whole_and_by_their_words() -> None:
    found = list_attribute_tokens(["Eiffel Tower", "The Seine", "ox"], list_built_in_words())
    assert found == {"eiffel tower", "eiffel", "tower", "the seine", "seine"}


def test_with_a_tokenizer_the_pieces_of_words_count_too() -> None:
    tokenizer = ChatTokenizer(stored(BUNDLED).directory)
    found = list_attribute_tokens(["Stornby"], frozenset(), tokenizer)
    assert found == list_attribute_tokens(["Stornby"], frozenset()) | {
        normalise_word(piece)
        for form in ("Stornby", " Stornby")
        for piece in tokenizer.split_into_pieces(form)
        if len(piece.strip()) > 2
    }


# --- BM25 ----------------------------------------------------------------------------------


def test_words_are_lower_case_and_say_something() -> None:
    text = normalise_word("The King’s sword, made in 1984 by O'Neil -- it’s a re_used one!")
    assert split_words(text, list_built_in_words()) == [
        "king's",
        "sword",
        "made",
        "1984",
        "o'neil",
        "used",
    ]


def test_paragraphs_on_a_subject_come_first() -> None:
    index = Paragraphs(PARAGRAPHS, list_built_in_words())
    assert set(index.find_about("Paris", 10)) == {0, 1}
    assert index.find_about("Paris", 1) == [0]  # its name stands there twice
    assert index.find_about("Spree", 5) == [2]
    assert index.find_about("Atlantis", 5) == []


def test_a_name_of_two_words_is_found_as_one_on_request() -> None:
    index = Paragraphs(PARAGRAPHS, list_built_in_words())
    assert set(index.find_about("New York", 10)) == {4, 5}
    assert index.find_about("New York", 10, mentioning=True) == [4]


def test_sets_hold_the_words_of_the_paragraphs(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("\n\n".join(PARAGRAPHS))
    (tmp_path / "s.txt").write_text("Paris\nBerlin\nAtlantis\n")
    request = AttributeSetsRequest(str(tmp_path / "p.txt"), tmp_path / "s.txt", tmp_path / "o.json")
    report = run(request, Silent())
    assert report.n_paragraphs == 6
    assert [(one.subject, one.n_paragraphs) for one in report.subjects] == [
        ("Paris", 2),
        ("Berlin", 1),
        ("Atlantis", 0),
    ]
    assert report.chance is None
    assert json.loads((tmp_path / "o.json").read_text()) == {
        "Paris": [
            *("capital", "eiffel", "flows", "france", "paris"),
            *("river", "seine", "stands", "tower"),
        ],
        "Berlin": ["berlin", "called", "capital", "germany", "river", "spree"],
        "Atlantis": [],
    }


def test_paragraphs_without_words_can_be_searched() -> None:
    assert Paragraphs(["1", "of the", "…"], list_built_in_words()).find_about("Paris", 3) == []


# --- what was found and missed ---------------------------------------------------------------

ANSWERS = [
    *(("Paris", "France"), ("Paris", "Seine river"), ("Paris", "fashion"), ("Paris", "of")),
    *(("Berlin", "Germany"), ("New York", "subway"), ("Atlantis", "sea")),
]


def built(directory: Path, **more: Any) -> AttributeSetsReport:
    """Build sets of the paragraphs, in one text, for prompts with answers."""
    (directory / "p.jsonl").write_text(json.dumps({"text": "\n\n".join(PARAGRAPHS)}))
    rows = [{"subject": s, "prompt": f"{s} has", "attribute": a} for s, a in ANSWERS]
    (directory / "s.json").write_text(json.dumps(rows))
    request = AttributeSetsRequest(
        str(directory / "p.jsonl"), directory / "s.json", directory / "o.json", **more
    )
    return run(request, Silent())


def test_blank_lines_part_an_article_into_paragraphs(tmp_path: Path) -> None:
    assert built(tmp_path).n_paragraphs == len(PARAGRAPHS)
    assert split_paragraphs(["a\nb\n \t\nc", "\n\n", "d"]) == ["a\nb", "c", "d"]


def test_answers_are_found_where_all_their_words_are_in_the_set(tmp_path: Path) -> None:
    """By hand: the words of PARAGRAPHS; "of" is a stop word, and neither found nor missed."""
    paris, berlin, york, atlantis = built(tmp_path).subjects
    assert paris == SubjectSet("Paris", 2, 2, 9, ("France", "Seine river"), ("fashion",))
    assert berlin == SubjectSet("Berlin", 1, 1, 6, ("Germany",), ())
    assert (york.n_paragraphs, york.n_mentioning, york.found) == (2, 1, ("subway",))
    assert atlantis == SubjectSet("Atlantis", 0, 0, 0, (), ("sea",))
    york = built(tmp_path, mentioning=True).subjects[2]
    assert (york.n_paragraphs, york.n_mentioning) == (1, 1)


def test_chance_is_the_share_of_other_sets_that_have_an_answer() -> None:
    words = {name: frozenset(text.split()) for name, text in {"a": "x y z", "b": "x"}.items()}
    sets = {**words, "c": frozenset("xw"), "empty": frozenset[str]()}
    answers = {
        "a": {"x": frozenset("x"), "y": frozenset("y"), "of": frozenset[str]()},
        "b": {"x z": frozenset("xz")},
        "c": {},
        "empty": {"x": frozenset("x")},
    }
    # x is in both others of a, y in none, x and z together in one of the others of b.
    assert compute_chance(sets, answers) == pytest.approx((1 + 0 + 1 / 2) / 3)
    assert compute_chance({"a": words["a"]}, answers) is None
    assert compute_chance(sets, {subject: {} for subject in sets}) is None
