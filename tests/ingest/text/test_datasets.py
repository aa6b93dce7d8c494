"""Where texts come from: every format of the contract, and what is refused."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from ingest.text.datasets import MAX_LABELS, fingerprint_texts, read_dataset, take_first_texts
from neurondb.contracts.texts import DatasetRecord
from neurondb.errors import TextError


def test_text_files_are_split_at_blank_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one\nstill one\n\n  two \r\n \t \r\nthree\n\n\n")
    assert list(read_dataset(str(file)).texts) == ["one\nstill one", "two", "three"]


def test_end_of_text_goes_before_blank_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one\n\nstill one<|endoftext|>two<|endoftext|> \n")
    assert list(read_dataset(str(file)).texts) == ["one\n\nstill one", "two"]


def test_jsonl_has_a_field_text(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    rows = [{"text": " one "}, {"text": ""}, {"text": "two\u2028lines", "label": 3}]
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n")
    assert list(read_dataset(str(file)).texts) == ["one", "two\u2028lines"]


def test_parquet_has_a_column_text(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"text": ["one", None, "two"], "n": [1, 2, 3]}), file)
    assert list(read_dataset(str(file)).texts) == ["one", "two"]


def test_parquet_without_text_names_its_columns(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"content": ["one"]}), file)
    with pytest.raises(TextError, match=r"a\.parquet: .*'text'.*\bcontent\b"):
        read_dataset(str(file))


def test_a_directory_gives_one_text_a_file(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name, content in {
        "z.txt": "last",
        "a.md": "first\n\npart",
        "b/c": "nested",
        ".x": "no",
    }.items():
        (tmp_path / name).write_text(content)
    assert list(read_dataset(str(tmp_path)).texts) == ["first\n\npart", "nested", "last"]


def test_fewer_texts_are_another_dataset(tmp_path: Path) -> None:
    file = tmp_path / "My Texts.txt"
    file.write_text("one\n\ntwo\n\nthree")
    whole, part = read_dataset(str(file)), read_dataset(str(file), 2)
    assert whole.name == part.name == "my-texts"
    assert part.fingerprint == take_first_texts(whole, 2).fingerprint != whole.fingerprint
    assert list(part.texts) == ["one", "two"]


def test_the_fingerprint_tells_where_texts_end() -> None:
    assert (
        fingerprint_texts(["ab", "c"])
        != fingerprint_texts(["a", "bc"])
        != fingerprint_texts(["abc"])
    )


def test_what_is_no_file_is_looked_for_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def offline(name: str, **_: object) -> None:
        raise ConnectionError(f"cannot reach the hub for {name}\nmore")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(TextError, match=r"'owner/name'.*cannot reach the hub for owner/name"):
        read_dataset("owner/name")


def test_hub_datasets_stream_their_train_split(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: dict[str, object] = {}

    def stream(name: str, **how: object) -> list[dict[str, str]]:
        asked.update(how, name=name)
        return [{"text": "one"}, {"text": " two "}]

    monkeypatch.setattr(datasets, "load_dataset", stream)
    assert list(read_dataset("owner/name").texts) == ["one", "two"]
    assert asked == {"name": "owner/name", "split": "train", "streaming": True}


def jsonl(file: Path, *rows: dict[str, Any]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def labels(dataset: DatasetRecord) -> list[str | None]:
    """The label of each text."""
    return [dataset.labels[place] if place >= 0 else None for place in dataset.label_of]


LABELLED: list[dict[str, Any]] = [
    {"text": "one", "label": "wiki"},
    {"text": " ", "label": "dropped"},
    {"text": "two", "label": " books "},
    {"text": "three"},
    {"text": "four", "label": None},
    {"text": "five", "label": "wiki"},
]


def test_a_field_label_names_the_part_of_the_dataset(tmp_path: Path) -> None:
    dataset = read_dataset(jsonl(tmp_path / "a.jsonl", *LABELLED))
    assert list(dataset.labels) == ["books", "wiki"]
    assert list(dataset.label_of) == [1, 0, -1, -1, 1]


def test_dots_reach_into_objects_and_a_field_of_that_very_name_goes_first(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"text": "one", "meta": {"pile_set_name": "arxiv"}},
        {"text": "two", "meta": {"pile_set_name": "pubmed"}, "meta.pile_set_name": "direct"},
        {"text": "three", "meta": "no object"},
        {"text": "four", "meta": {"other": 1}},
        {"text": "five"},
    ]
    source = jsonl(tmp_path / "a.jsonl", *rows)
    found = read_dataset(source, label_field="meta.pile_set_name")
    assert labels(found) == ["arxiv", "direct", None, None, None]
    assert read_dataset(source).labels == read_dataset(source, label_field="").labels == ()


@pytest.mark.parametrize(
    ("value", "label"),
    [(3, "3"), (True, "True"), (0, "0"), (2.5, "2.5"), ("", None), (" \n", None), ("é", "é")],
)
def test_labels_are_strings(tmp_path: Path, value: object, label: str | None) -> None:
    source = jsonl(tmp_path / "a.jsonl", {"text": "a", "label": value}, {"text": "b", "label": "x"})
    assert labels(read_dataset(source)) == [label, "x"]


@pytest.mark.parametrize("value", [{"a": 1}, [], ["a"]])
def test_a_label_that_is_none_is_told_with_its_line(tmp_path: Path, value: object) -> None:
    source = jsonl(tmp_path / "a.jsonl", {"text": "a", "label": "x"}, {"text": "b", "label": value})
    with pytest.raises(TextError, match=r"a\.jsonl, line 2: 'label' .*(dict|list).*label_field"):
        read_dataset(source)
    assert read_dataset(source, 1).labels == ("x",)
    assert read_dataset(source, label_field="").labels == ()


def test_a_field_with_too_many_values_is_no_label(tmp_path: Path) -> None:
    rows = [{"text": "t", "label": n % (MAX_LABELS + 1)} for n in range(2 * MAX_LABELS)]
    source = jsonl(tmp_path / "a.jsonl", *rows)
    with pytest.raises(TextError, match=r"a\.jsonl: .*1,000.*label_field"):
        read_dataset(source)
    assert len(read_dataset(source, MAX_LABELS).labels) == MAX_LABELS
    assert read_dataset(source, label_field="").labels == ()


def test_parquet_labels_are_a_column(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    columns = {
        "text": ["one", None, "two", "three"],
        "label": pa.array(["b", "never", "a", "b"]).dictionary_encode(),
        "meta": [{"set": "x", "n": 1}, None, {"set": None, "n": 2}, {"set": "y", "n": 3}],
        "score": [1.0, 2.0, float("nan"), 1.0],
        "many": [[1], [2], [3], [4]],
    }
    parquet.write_table(pa.table(columns), file)
    assert labels(read_dataset(str(file))) == ["b", "a", "b"]
    assert labels(read_dataset(str(file), label_field="meta.set")) == ["x", None, "y"]
    assert labels(read_dataset(str(file), label_field="score")) == ["1.0", None, "1.0"]
    assert labels(read_dataset(str(file), label_field="text")) == ["one", "two", "three"]
    for absent in ("", "absent", "meta.absent", "absent.set"):
        assert read_dataset(str(file), label_field=absent).label_of == ()
    for none in ("many", "meta"):
        with pytest.raises(TextError, match=rf"a\.parquet, row 1: '{none}' .*label_field"):
            read_dataset(str(file), label_field=none)


def test_parquet_texts_must_be_strings(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"text": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(TextError, match=r"a\.parquet, row 1: 'text' .*\bint\b"):
        read_dataset(str(tmp_path / "a.parquet"))


def test_the_folders_of_a_directory_are_its_labels(tmp_path: Path) -> None:
    for name in ("root.txt", "b/one.txt", "b/deep/two.txt", "a/three.txt", "b/four.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    dataset = read_dataset(str(tmp_path))
    assert list(dataset.labels) == ["a", "b", "b/deep"]
    assert dict(zip(dataset.texts, labels(dataset), strict=True)) == {
        "root.txt": None,
        "b/one.txt": "b",
        "b/deep/two.txt": "b/deep",
        "a/three.txt": "a",
        "b/four.txt": "b",
    }
    assert read_dataset(str(tmp_path), label_field="").labels == ()


def test_hub_datasets_have_labels_by_the_same_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    rows = [{"text": "one", "meta": {"set": "a"}}, {"text": None}, {"text": "two", "meta": None}]
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: rows)
    assert labels(read_dataset("owner/name", label_field="meta.set")) == ["a", None]
    with pytest.raises(TextError, match=r"'owner/name', row 1: 'meta' .*\bdict\b"):
        read_dataset("owner/name", label_field="meta")


def test_texts_without_labels_keep_their_fingerprint(tmp_path: Path) -> None:
    texts = ["one", "zwölf", "three"]
    expected = hashlib.sha256(
        b"".join(len(t.encode()).to_bytes(8, "little") + t.encode() for t in texts)
    ).hexdigest()
    assert fingerprint_texts(texts) == fingerprint_texts(texts, [None] * 3) == expected
    rows = [{"text": text, "label": None} for text in texts]
    assert read_dataset(jsonl(tmp_path / "a.jsonl", *rows)).fingerprint == expected


def test_other_labels_are_another_dataset() -> None:
    texts = ["one", "two", "three"]
    labelled = [("a", None, "b"), ("a", "b", None), ("b", None, "a"), ("ab", None, None), ()]
    assert len({fingerprint_texts(texts, labels) for labels in labelled}) == len(labelled)
    assert fingerprint_texts(texts, ["a", None, "b"]) != fingerprint_texts([*texts, "a", "", "b"])


@given(st.lists(st.sampled_from([None, "a", "b", "c"]), min_size=1), st.data())
def test_the_first_texts_keep_their_labels(given_: list[str | None], data: st.DataObject) -> None:
    import tempfile

    n_texts = data.draw(st.integers(1, len(given_)))
    rows = [{"text": str(n), "label": label} for n, label in enumerate(given_)]
    with tempfile.TemporaryDirectory() as directory:
        source = jsonl(Path(directory) / "a.jsonl", *rows)
        whole, part = read_dataset(source), read_dataset(source, n_texts)
    assert take_first_texts(whole, n_texts) == part
    assert set(part.labels) == set(given_[:n_texts]) - {None}
    assert labels(part) == (given_[:n_texts] if part.labels else [])
