"""Which texts are read, and which token ids they are stored as, from tokenizer.json alone."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support.ingested import (
    BOS,
    EOS,
    Subject,
    encode,
    fresh,
    random_model,
    subject,
    variant,
    write_byte_level_tokenizer,
)
from tests.support.real_models import BUNDLED, REAL


def stored_ids(model: Subject) -> list[list[int]]:
    rows = model.rows(
        "SELECT token_ids FROM text_token_ids JOIN texts USING (text_id) ORDER BY ordinal"
    )
    return [np.frombuffer(packed, dtype="<u4").tolist() for (packed,) in rows]


@pytest.mark.parametrize("name", [*REAL, "llama", "gpt2"])
def test_the_stored_ids_are_those_of_the_tokenizer_with_bos_first(name: str) -> None:
    model = subject(name)
    assert stored_ids(model) == model.ids()
    bos = {BUNDLED: 0}.get(name, 1)
    assert all(ids[0] == bos for ids in model.ids())
    written = model.rows("SELECT text FROM texts ORDER BY ordinal")
    assert [text for (text,) in written] == list(model.texts)


@pytest.mark.parametrize(("bos", "prefix"), [(BOS, BOS), (None, EOS)])
def test_the_prefix_is_bos_or_where_there_is_none_eos(bos: str | None, prefix: str) -> None:
    directory = Path(shutil.copytree(random_model("llama"), fresh("prefix"), dirs_exist_ok=True))
    write_byte_level_tokenizer(directory, bos=bos)
    model = variant("llama", model=str(directory))
    expected = [encode(directory, text, prefix=prefix) for text in model.texts]
    assert stored_ids(model) == expected
    assert model.rows("SELECT prefix_token_id FROM tokenizations") == [(expected[0][0],)]


def test_only_the_first_texts_are_read_on_request() -> None:
    few = variant("llama", max_texts=5)
    assert stored_ids(few) == few.ids()[:5]


def test_the_texts_stop_before_one_that_holds_too_many_tokens() -> None:
    lengths = np.cumsum([len(ids) for ids in subject("llama").ids()])
    for limit, n_texts in ((int(lengths[6]), 7), (int(lengths[6]) - 1, 6)):
        assert len(stored_ids(variant("llama", max_tokens=limit))) == n_texts
