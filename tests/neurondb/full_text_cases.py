"""Searches for the tests of both databases, and how the texts of one get into a database."""

import random
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, insert, text

from neurondb.full_text import write_condition
from neurondb.phrases import Phrase
from neurondb.schema import tables
from tests.support.word_reference import contains, split_words

HOSTILE: Final = (
    *('NEAR("a" b)', "NEAR(a b)", "AND OR NOT", "it's", '"', "a*b", "text: a", "{a b}: c", "^a"),
    *("a + b", "-a", "(a", "a)", "a\0b", "'; DROP TABLE texts; --", "%", "_", "a:*", "a <-> b"),
    *("1.5e3", "www.example.com", "co-operate", "naïve_name", "x" * 900, "a " * 400, "a!b&c|d"),
)
AS_THEY_STAND: Final = ("日本", "東京 🐕", "🐕", "สวัสดี", "->", "—", "人", "犬")


def store_texts(connection: Connection, texts: Sequence[str]) -> None:
    """Insert texts, whose ids count from 1, as a dataset."""
    dataset = {"dataset_id": 1, "name": "d", "source": "here", "fingerprint": "f"}
    connection.execute(insert(tables.dataset_rows), dataset | {"n_texts": len(texts)})
    rows = [
        {"text_id": place + 1, "dataset_id": 1, "ordinal": place, "text": one}
        for place, one in enumerate(texts)
    ]
    connection.execute(insert(tables.texts), rows)


def find_ids(connection: Connection, *phrases: Phrase) -> list[int]:
    """Return the ids of the texts that the database finds."""
    values: dict[str, str] = {}

    def bind(value: str) -> str:
        values[f"p{len(values)}"] = value
        return f":p{len(values) - 1}"

    server = connection.dialect.name != "sqlite"
    condition = write_condition("texts", "t", phrases, bind, server=server)
    statement = f"SELECT t.text_id FROM texts t WHERE {condition} ORDER BY 1"
    return [row[0] for row in connection.execute(text(statement), values)]


def expect_ids(texts: Sequence[str], phrase: Phrase) -> list[int]:
    """Return the ids of the texts that contain a phrase by its definition."""
    return [
        place + 1
        for place, one in enumerate(texts)
        if (
            phrase.text in one
            if phrase.stands
            else contains(one, phrase.text, prefix=phrase.prefix)
        )
    ]


def draw_phrases(texts: Sequence[str], n: int) -> list[Phrase]:
    """Return phrases of one to four words that texts have, or nearly: turned round, cut off."""
    draw = random.Random(0)
    drawn: list[Phrase] = []
    while len(drawn) < n:
        words = split_words(draw.choice(texts))
        start, length = draw.randrange(max(len(words), 1)), draw.randint(1, 4)
        some = words[start : start + length]
        if draw.random() < 0.2:
            draw.shuffle(some)
        phrase = Phrase(" ".join(some).upper() if draw.random() < 0.3 else " ".join(some))
        if draw.random() < 0.3 and some:
            phrase = Phrase(phrase.text[: len(phrase.text) - draw.randrange(len(some[-1]))], True)
        if phrase.words and not phrase.stands:
            drawn.append(phrase)
    return drawn
