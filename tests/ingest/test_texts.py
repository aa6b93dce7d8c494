"""Where texts come from: every format of the contract, and what is refused."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from ingest.texts import fingerprint, first_texts, read_dataset
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
    with pytest.raises(TextError, match="no column 'text'; it has content"):
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
    assert part.fingerprint == first_texts(whole, 2).fingerprint != whole.fingerprint
    assert list(part.texts) == ["one", "two"]


def test_the_fingerprint_tells_where_texts_end() -> None:
    assert fingerprint(["ab", "c"]) != fingerprint(["a", "bc"]) != fingerprint(["abc"])


def test_what_is_no_file_is_looked_for_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def offline(name: str, **_: object) -> None:
        raise ConnectionError(f"cannot reach the hub for {name}\nmore")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(TextError, match=r"'owner/name' is no file here.*cannot reach the hub"):
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
