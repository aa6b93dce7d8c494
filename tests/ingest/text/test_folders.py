"""Directories of texts: what is read, what is left out, in which order."""

import json
import os
import random
import re
import shutil
from pathlib import Path

import datasets
import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from ingest.text.datasets import read_dataset
from ingest.text.folders import list_visible_files
from neurondb.contracts.texts import DatasetRecord
from neurondb.errors import TextError


def put(root: Path, **files: str | bytes) -> Path:
    """Write files; a double underscore in a name is a folder, `dot_` a dot."""
    for name, content in files.items():
        *folders, last = name.replace("dot_", ".").split("__")
        file = root.joinpath(*folders, last if "." in last[1:] else f"{last}.txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def labelled(dataset: DatasetRecord) -> dict[str, str | None]:
    places = dataset.label_of or [-1] * len(dataset.texts)
    labels = [dataset.labels[place] if place >= 0 else None for place in places]
    return dict(zip(dataset.texts, labels, strict=True))


def test_hidden_files_and_folders_are_left_out_at_any_depth(tmp_path: Path) -> None:
    put(
        tmp_path,
        a="first",
        b__c="nested",
        dot_cache__huggingface__a="no",
        b__dot_ipynb_checkpoints__c="no",
        b__deep__dot_git__index=b"\xff\xfe\x00",
        b__dot_hidden="no",
    )
    assert list(read_dataset(str(tmp_path)).texts) == ["first", "nested"]


def test_a_hidden_directory_that_is_named_is_read(tmp_path: Path) -> None:
    root = put(tmp_path / ".corpus" / "x", a="one")
    assert list(read_dataset(str(root)).texts) == ["one"]
    assert list(read_dataset(str(root.parent)).texts) == ["one"]


def test_files_of_rows_are_read_as_when_given_alone(tmp_path: Path) -> None:
    lines = '{"text": "one"}\n{"text": null}\n{"text": "two", "label": "own"}\n'
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "part-0.jsonl").write_text("\ufeff" + lines)
    (tmp_path / "s" / "part-1.ndjson").write_text('{"text": "three"}')
    (tmp_path / "s" / "part-2.json").write_text('[{"text": "four"}]')
    parquet.write_table(pa.table({"text": ["five", None]}), tmp_path / "s" / "part-3.parquet")
    table = pa.table({"text": ["six", "seven"]})
    with ipc.new_file(tmp_path / "s" / "part-4.arrow", table.schema) as writer:
        writer.write_table(table)
    (tmp_path / "whole.txt").write_text("a\n\ntext<|endoftext|>of one file")
    found = read_dataset(str(tmp_path))
    assert labelled(found) == {
        "one": "s",
        "two": "own",
        **dict.fromkeys(["three", "four", "five", "six", "seven"], "s"),
        "a\n\ntext<|endoftext|>of one file": None,
    }
    assert found.n_null == 2
    assert read_dataset(str(tmp_path), label_field="").labels == ()
    for file in sorted((tmp_path / "s").iterdir()):
        assert set(read_dataset(str(file)).texts) <= set(found.texts)


def test_json_that_is_no_rows_is_a_text(tmp_path: Path) -> None:
    contents = ['{"name": "x", "version": 1}', "[1, 2]", "no JSON {", '{\n "text": "pretty"\n}']
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.json").write_text(content)
    assert list(read_dataset(str(tmp_path)).texts) == contents


def test_a_wrong_shard_is_told_by_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n')
    (tmp_path / "b.jsonl").write_text('{"text": "two"}\n{"text": 3}\n')
    with pytest.raises(TextError, match=r"b\.jsonl, line 2: 'text' .*\bint\b"):
        read_dataset(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x89PNG\r\n", r"UTF-8 .* 0\b"),
        (b"SQLite format 3\0" + bytes(80), r"\bbinary\b"),
        (b"caf\xe9", r"UTF-8 .* 3\b"),
    ],
)
def test_what_is_no_text_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    put(tmp_path, a="one", **{"sub__b.bin": content})
    with pytest.raises(TextError, match=rf"sub/b\.bin: .*{said}") as caught:
        read_dataset(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_an_empty_directory_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(TextError, match=f"{re.escape(str(tmp_path))}: .*non-blank"):
        read_dataset(str(tmp_path))
    put(tmp_path, a="", **{"b.jsonl": "\n", "c": "one"})
    assert list(read_dataset(str(tmp_path)).texts) == ["one"]


def saved(directory: Path) -> Path:
    rows = {"text": ["one", None, "two", "three"], "n": [1, 2, 3, 4]}
    datasets.Dataset.from_dict(rows).save_to_disk(directory, num_shards=2)
    return directory


@pytest.fixture(autouse=True)
def _quiet() -> None:
    datasets.disable_progress_bars()


def test_a_saved_dataset_is_its_rows(tmp_path: Path) -> None:
    found = read_dataset(str(saved(tmp_path / "saved")))
    assert list(found.texts) == ["one", "two", "three"]
    assert found.n_null == 1
    assert found.name == "saved"


def test_what_was_computed_from_a_saved_dataset_is_no_part_of_it(tmp_path: Path) -> None:
    directory = saved(tmp_path / "saved")
    first = next(directory.glob("data-00000*"))
    shutil.copy(first, directory / "cache-0123456789abcdef.arrow")
    assert list(read_dataset(str(directory)).texts) == ["one", "two", "three"]


def test_the_splits_of_a_saved_dataset_are_its_labels(tmp_path: Path) -> None:
    split = {name: datasets.Dataset.from_dict({"text": [name]}) for name in ("train", "test")}
    datasets.DatasetDict(split).save_to_disk(tmp_path / "saved")
    assert labelled(read_dataset(str(tmp_path / "saved"))) == {"test": "test", "train": "train"}


def test_loops_of_links_end(tmp_path: Path) -> None:
    root = put(tmp_path / "root", a="one", sub__b="two")
    put(tmp_path, beside="no")
    (root / "self").symlink_to(root, target_is_directory=True)
    (root / "sub" / "up").symlink_to(tmp_path, target_is_directory=True)
    (root / "again").symlink_to(root / "sub", target_is_directory=True)
    assert list(read_dataset(str(root)).texts) == ["one", "two"]


def test_links_to_elsewhere_are_followed_once(tmp_path: Path) -> None:
    outside = put(tmp_path / "outside", x="one", dot_no="no")
    (outside / "loop").symlink_to(outside, target_is_directory=True)
    root = put(tmp_path / "root", a="two")
    (root / "linked").symlink_to(outside, target_is_directory=True)
    (root / "second").symlink_to(outside, target_is_directory=True)
    (root / "z.txt").symlink_to(outside / "x.txt")
    found = read_dataset(str(root))
    assert list(found.texts) == ["two", "one", "one"]
    assert list(found.labels) == ["linked"]


def test_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    put(tmp_path, a="one")
    (tmp_path / ".#a.txt").symlink_to("nowhere")
    assert list(read_dataset(str(tmp_path)).texts) == ["one"]
    (tmp_path / "b.txt").symlink_to("nowhere")
    with pytest.raises(TextError, match=r"b\.txt: .*\blink\b"):
        read_dataset(str(tmp_path))


def test_what_is_neither_file_nor_folder_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, a="one")
    os.mkfifo(tmp_path / "pipe")
    assert list(read_dataset(str(tmp_path)).texts) == ["one"]


def test_the_order_is_that_of_names(tmp_path: Path) -> None:
    names = ["B.txt", "a/x.txt", "a.txt", "a-b/y.txt", "a b.txt", "é.txt", "z/z/z.txt", "10", "9"]
    for name in random.Random(0).sample(names, len(names)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    expected = sorted(names, key=lambda name: Path(name).parts)
    assert list(read_dataset(str(tmp_path)).texts) == expected
    assert [
        file.relative_to(tmp_path).as_posix() for file in list_visible_files(tmp_path)
    ] == expected


def test_names_of_any_bytes_are_read_and_can_be_stored(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"t\xe9")
    (root / os.fsdecode(b"f\xff")).mkdir(parents=True)
    (root / os.fsdecode(b"f\xff") / os.fsdecode(b"\xe9.jsonl")).write_text('{"text": "one"}\n')
    table = pa.table({"text": ["two"]})
    with (root / os.fsdecode(b"\xe9.parquet")).open("wb") as file:
        parquet.write_table(table, file)
    with (
        (root / os.fsdecode(b"\xe9.arrow")).open("wb") as file,
        ipc.new_file(file, table.schema) as writer,
    ):
        writer.write_table(table)
    found = read_dataset(str(root))
    assert sorted(found.texts) == ["one", "two", "two"]
    assert found.source == str(tmp_path) + r"/t\xe9"
    assert list(found.labels) == [r"f\xff"]
    (root / os.fsdecode(b"\xe9.bin")).write_bytes(b"\xff")
    with pytest.raises(TextError, match=r"t\\xe9/\\xe9\.bin: .*UTF-8"):
        read_dataset(str(root))


def test_a_state_that_is_no_json_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    (tmp_path / "a.txt").write_text("one")
    assert list(read_dataset(str(tmp_path)).texts) == ["one", "{"]
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": "no list"}))
    assert len(read_dataset(str(tmp_path)).texts) == 3
