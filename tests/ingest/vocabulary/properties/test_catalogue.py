"""Which tokens have which properties, by examples of every one."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import pre_tokenizers

from ingest.bundled import model_directory
from ingest.text.tokenizer import Tokenizer, decode_bytes
from ingest.vocabulary.properties.catalogue import PROPERTIES, find_token_properties
from neurondb.contracts.model import Token
from neurondb.contracts.vocabulary import TokenPropertiesRecord
from tests.support.ingested import random_model

NAMES = [known.name for known in PROPERTIES]
SPELLED = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def byte_level(text: str) -> Token:
    """A token as byte-level BPE spells it: ` dog` is Ġdog."""
    return Token(text, "".join(part for part, _ in SPELLED.pre_tokenize_str(text)))


def sentencepiece(text: str) -> Token:
    return Token(text, text.replace(" ", "\u2581"))


def properties(*tokens: Token) -> list[set[str]]:
    """The names of each token's properties, the tokens being the whole vocabulary."""
    record = find_token_properties(tokens)
    return [{name for name, has in zip(NAMES, row, strict=True) if has} for row in record.members]


EXAMPLES: dict[str, tuple[list[str], list[str]]] = {
    "starts with space": ([" dog", " ", "  x", " 7", " é"], ["dog", "\n dog", "\u00a0x", ""]),
    "begins word": ([" dog", " É", " пес", " 犬"], ["dog", " 7", "  dog", " ", " (a"]),
    "continues word": (["ing", "Dog", "é", "пес", "it's", "a1"], [" dog", "犬", "かな", "1a", "ก"]),
    "letters only": (
        ["dog", " Dog", "été", "пес", "हिन्दी", "犬", "שָׁלוֹם"],
        ["dog1", "it's", " ", "a b", "", "7", "\u0301"],
    ),
    "lower case": ([" dog", "ing", "é", "ß"], ["Dog", "dOg", "dog1", "犬", " "]),
    "capitalised": ([" Dog", "Été", "Пес"], ["DOG", "dog", "A", "McX", "D1"]),
    "upper case": ([" DOG", "NASA", "ÉT"], ["A", "Dog", "X1", "犬犬"]),
    "starts with vowel": ([" apple", "ing", "Ed"], ["a", " dog", "éa", "a1", ""]),
    "single letter": (["a", " A", "é", "犬"], ["ab", "1", ".", " ", ""]),
    "single character": (["a", " A", "1", ".", " ", "\n", "🐕", "�"], ["ab", "  ", "", "10"]),
    "contains digit": (["7", "a1", " 1984", "3.5", "٣"], ["one", "½", "²"]),
    "number": (["7", " 42", "1984", "٣"], ["1.5", "a1", "-1", "", " ", "²"]),
    "one-digit number": (["7", " 0"], ["42", "a", ""]),
    "two-digit number": (["42", " 07"], ["4", "420", "4a", "ab"]),
    "three-digit number": (["420", " 007"], ["42", "1984"]),
    "year": (["1000", " 1984", "2099"], ["0999", "2100", "19840", "984", "1984s"]),
    "modern year": (["1700", " 1984", "2050"], ["1699", "2051", "1000", "2099"]),
    "ordinal": (
        ["1st", " 22nd", "3rd", "4th", "11th", "112th", "21ST", " first", "Third"],
        ["1nd", "11st", "12nd", "13rd", "st", "1", "th", "first"],
    ),
    "number word": ([" one", "Two", " twenty", " Million"], ["one", " 1", " first", " ONE"]),
    "punctuation": ([".", " (", '"},', "…", "==", "$", "。"], ["a.", "", " ", "\n", "🐕", "€"]),
    "opening bracket": (["(", " [", "f(", "「"], [")", "<", "a"]),
    "closing bracket": ([")", "});", "」"], ["(", ">", "a"]),
    "quotation mark": (['"', " “", "'", '."', "»"], ["'s", "it's", ".", "`"]),
    "sentence end": ([".", "!", " ?", "...", '."', ".)", ".\n", "。", "؟"], [",", "a.", ".5", "a"]),
    "clause mark": ([",", " ;", ':"', " –", "—", "、", "،"], ["-", "a,", "."]),
    "contraction": (["'s", "’re", "'LL", "n't", " 'd"], ["s", "'", "'x", "it's"]),
    "symbol": (["🐕", " →", "€5", "²a€", "≤"], ["$", "+", "é", "犬", "²", "…"]),
    "whitespace": ([" ", "\n", " \n", "\t\t", "\u00a0"], ["", " a", ".\n"]),
    "newline": (["\n", " \n", ".\n\n", "\r"], [" ", "\t", "\\n"]),
    "operator": (["==", " ->", "&&", "});", "//"], ["=", "-", "a==", "..,"]),
    "camel case": (["getName", " aB", "my_Name_xY"], ["Name", "NASA", "name", "get Name", "éX"]),
    "snake case": (["my_name", " _id", "MAX_"], ["_", "__", "name", "_1", "a-b", "é_"]),
    "latin beyond ascii": (["é", " straße", "ł"], ["e", "пес", "犬", "µ", "²"]),
    "cyrillic": (["пес", " Я"], ["dog", "λ"]),
    "greek": (["λόγος", " π"], ["p", "п", "µ"]),
    "arabic": (["كلب", " ا"], ["،", "כ"]),
    "hebrew": (["כלב"], ["كلب", "\u202e"]),
    "devanagari": (["कु", "ि"], ["।", "ก"]),
    "han": (["犬", " 犬", "a犬"], ["かな", "。", "개"]),
    "hiragana": (["かな"], ["カナ", "犬"]),
    "katakana": (["カナ", "ｶﾅ", "ー"], ["かな"]),
    "hangul": (["개", "ㄱ"], ["犬"]),
    "thai": (["หมา", "ั"], ["฿", "कु"]),
    "ends in ing": (["ing", " Going", "EATING"], ["ng", "ings", "ing.", " in"]),
    "ends in ed": (["ked", " Red", " called"], ["ed", "eds"]),
    "ends in ly": ([" only", "fully"], ["ly", "lye"]),
    "ends in er": ([" her", "BIGGER"], ["er", "erg"]),
    "ends in s": ([" dogs", " was", "ings"], ["ss", " glass", " bus", " this", "s", "'s"]),
    "ends in tion": (["tion", " Nation", "vision"], ["ion", "tions"]),
    "pronoun": ([" it", "They", " I", "I", " me", " she’s"], ["it", " US", " dog", "i", " they1"]),
    "first-person pronoun": ([" I", "I", " We", "My"], [" you", "we", "US"]),
    "second-person pronoun": ([" you", "Your"], [" I", "you"]),
    "she pronoun": ([" she", "Her", " herself"], [" he", "her", " there"]),
    "he pronoun": ([" he", "His", " him"], [" she", "he", "HE"]),
    "determiner": ([" the", "A", " These"], ["the", " dog", "THE", "a"]),
    "preposition": ([" of", "Under"], ["of", " and"]),
    "conjunction": ([" and", "Because"], ["and", " of"]),
    "auxiliary": ([" is", "Would", " don't", " don’t"], ["is", " go"]),
    "negation": ([" not", "Never", " can't"], ["not", " knot"]),
    "question word": ([" why", "What"], ["why", " if"]),
    "month": ([" May", "June", " Dec"], [" may", "MAY", " Mars"]),
    "weekday": ([" Monday", "Fri"], [" monday", " Sun"]),
    "colour": ([" red", "Blue"], ["red", " redo"]),
    "country": ([" China", "Peru"], [" china", " Turkey", " Paris"]),
    "first name": ([" Lucy", "Peter"], [" lucy", " Rose", " Dog"]),
}
SPECIAL = ["<s>", "</s>", "<pad>", "<|endoftext|>", "<｜begin▁of▁sentence｜>", "<unused7>", "[UNK]"]
SPECIAL += ["<start_of_turn>", "[/INST]", "[TOOL_CALLS]", "<mask>", "|||EMAIL_ADDRESS|||"]
NOT_SPECIAL = ["<b>", "</table>", "[0]", "<", "||", "<html>", "[A]", " <s>", "s"]


def test_every_property_has_examples() -> None:
    with_tests_of_their_own = {"special", "raw bytes", "no text"}
    assert {*EXAMPLES} | with_tests_of_their_own == {*NAMES}
    assert len({*NAMES}) == len(NAMES)


@pytest.mark.parametrize("spell", [byte_level, sentencepiece])
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name: str, spell: Callable[[str], Token]) -> None:
    have, lack = EXAMPLES[name]
    found = properties(*(spell(text) for text in (*have, *lack)))
    with_it = {text for text, names in zip((*have, *lack), found, strict=True) if name in names}
    assert with_it == set(have)


def test_special_tokens_have_nothing_else() -> None:
    assert properties(*(Token(text, text) for text in SPECIAL)) == [{"special"}] * len(SPECIAL)
    for names in properties(*map(byte_level, NOT_SPECIAL)):
        assert "special" not in names


def test_rows_without_a_token_have_nothing_else() -> None:
    assert properties(Token("[unused 5]", None), Token("[token 6]", None)) == [{"no text"}] * 2


def test_bytes_that_are_no_character_are_no_text() -> None:
    part, spaced = Token("\\xe2", "â"), Token(" \\xf0\\x9f", "ĠðŁ")
    assert properties(part, spaced) == [{"raw bytes"}, {"raw bytes", "starts with space"}]
    assert properties(Token(decode_bytes(b"a\xcc"), "aÌ")) == [{"raw bytes", "continues word"}]


def test_an_escape_that_is_text_is_text() -> None:
    (names,) = properties(byte_level("\\xe2"))
    assert "raw bytes" not in names
    assert "contains digit" in names


def test_a_byte_piece_is_text_only_where_the_character_has_no_other_token() -> None:
    pieces = [Token("A", "<0x41>"), Token("\n", "<0x0A>"), Token("\\x80", "<0x80>")]
    pieces += [Token("\x00", "<0x00>"), Token("A", "A")]
    letter, newline, part, control, real = properties(*pieces)
    assert letter == part == control == {"raw bytes"}
    assert newline == {"whitespace", "newline", "single character"}
    assert "single letter" in real
    again = properties(*pieces, Token("\n", "\n"))
    assert again[1] == {"raw bytes"}


def test_the_empty_token_has_no_property() -> None:
    assert properties(Token("", "")) == [set()]


@pytest.mark.parametrize("text", ["\u202e", "\u200b", "\ufe0f", "\u0301", "\x1b", "\ue000"])
def test_what_has_no_shape_is_no_letter_and_no_sign(text: str) -> None:
    (names,) = properties(byte_level(text))
    assert names == {"single character"}


def test_everything_is_told_of_any_character() -> None:
    """No character of Unicode, alone or after a space, makes a test fail."""
    characters = [chr(i) for i in range(0x20000) if not 0xD800 <= i < 0xE000]
    record = find_token_properties([Token(f" {c}", c) for c in characters])
    space = record.members[:, NAMES.index("starts with space")]
    assert space.all()


def _counts(record: TokenPropertiesRecord) -> dict[str, int]:
    return dict(zip(record.names, record.members.sum(0).tolist(), strict=True))


def test_the_bundled_model_has_the_properties_of_its_world() -> None:
    tokenizer = Tokenizer(model_directory())
    counts = _counts(find_token_properties(tokenizer.list_tokens(2048)))
    wanted = (
        "starts with space", "begins word", "continues word", "capitalised", "single letter",
        "number", "number word", "punctuation", "quotation mark", "whitespace", "raw bytes",
        "ends in ed", "ends in s", "pronoun", "determiner", "preposition", "auxiliary", "negation",
        "question word", "month", "weekday", "colour", "first name",
    )  # fmt: skip
    assert {name: counts[name] for name in wanted if counts[name] < 5} == {}
    assert counts["special"] == 3
    assert counts["raw bytes"] == 128  # the bytes that ASCII lacks
    assert counts["month"] == 12
    assert counts["no text"] == 0


def test_sentencepiece_bytes_are_told_from_text() -> None:
    tokens = Tokenizer(random_model("llama")).list_tokens(512)
    record = find_token_properties(tokens)
    counts = _counts(record)
    pieces = [str(token.piece) for token in tokens]
    # A digit that is no letter of this tokenizer has its byte alone.
    as_bytes = [digit for digit in "0123456789" if digit not in pieces]
    assert as_bytes
    for name, form in (("one-digit number", "▁?[0-9]"), ("number", "▁?[0-9]+")):
        spelled = [piece for piece in pieces if re.fullmatch(form, piece)]
        assert counts[name] == len(spelled) + len(as_bytes)
    assert counts["special"] == 3
    single = record.members[:, NAMES.index("single letter")]
    assert len({tokens[i].token for i in np.flatnonzero(single)}) == single.sum()


def test_the_page_lists_every_property_as_it_describes_itself() -> None:
    page = Path(__file__).parents[4] / "docs" / "properties.md"
    rows = re.findall(r"^\| `(.+?)` \| (.+?) \|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [(known.name, known.description) for known in PROPERTIES]
