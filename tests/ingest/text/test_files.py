"""Files of texts: marks, line ends, nulls and what is no text, the same in every format."""

import bz2
import codecs
import gzip
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from ingest.text import files
from ingest.text.datasets import read_dataset
from neurondb.errors import TextError

Rows = Sequence[dict[str, Any]]
Write = Callable[[Path, Rows], None]


def _as_lines(file: Path, rows: Rows) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _as_array(file: Path, rows: Rows) -> None:
    file.write_text(json.dumps(rows, indent=1))


def _as_parquet(file: Path, rows: Rows) -> None:
    parquet.write_table(pa.Table.from_pylist(list(rows)), file)


def _as_stream(file: Path, rows: Rows) -> None:
    table = pa.Table.from_pylist(list(rows))
    with ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def _as_file(file: Path, rows: Rows) -> None:
    table = pa.Table.from_pylist(list(rows))
    with ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def _as_gzip(file: Path, rows: Rows) -> None:
    file.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))


FORMATS: dict[str, tuple[str, Write]] = {
    "lines": ("a.jsonl", _as_lines),
    "ndjson": ("a.ndjson", _as_lines),
    "lines called json": ("a.json", _as_lines),
    "array": ("a.json", _as_array),
    "array called jsonl": ("a.jsonl", _as_array),
    "upper case": ("A.JSONL", _as_lines),
    "gzip": ("a.jsonl.gz", _as_gzip),
    "parquet": ("a.parquet", _as_parquet),
    "pq": ("a.pq", _as_parquet),
    "arrow stream": ("a.arrow", _as_stream),
    "arrow file": ("a.arrow", _as_file),
}
every_format = pytest.mark.parametrize("format_", FORMATS)


def written(directory: Path, format_: str, rows: Rows) -> str:
    name, write = FORMATS[format_]
    write(directory / name, rows)
    return str(directory / name)


@every_format
def test_null_is_left_out_and_counted(format_: str, tmp_path: Path) -> None:
    texts = [None, "one", None, " two ", "  ", "three", None]
    found = read_dataset(written(tmp_path, format_, [{"text": text} for text in texts]))
    assert list(found.texts) == ["one", "two", "three"]
    assert found.n_null == 3
    assert found.name == "a"


@every_format
def test_nothing_but_null_is_no_text(format_: str, tmp_path: Path) -> None:
    name = re.escape(FORMATS[format_][0])
    with pytest.raises(TextError, match=f"{name}: .*non-blank"):
        read_dataset(written(tmp_path, format_, [{"text": None}, {"text": ""}]))


@every_format
def test_labels_are_read_alike(format_: str, tmp_path: Path) -> None:
    rows: Rows = [
        {"text": "one", "label": "b", "meta": {"set": "x"}},
        {"text": None, "label": "never", "meta": {"set": "never"}},
        {"text": "two", "label": None, "meta": {"set": "y"}},
    ]
    source = written(tmp_path, format_, rows)
    assert read_dataset(source).labels == ("b",)
    assert read_dataset(source).label_of == (0, -1)
    assert read_dataset(source, label_field="meta.set").labels == ("x", "y")
    assert read_dataset(source, label_field="").labels == ()


@every_format
def test_a_text_of_another_type_is_told_with_its_row(format_: str, tmp_path: Path) -> None:
    source = written(tmp_path, format_, [{"text": 1}, {"text": 2}])
    with pytest.raises(TextError, match=r"(line|row|entry) 1: 'text' .*\bint\b"):
        read_dataset(source)


@every_format
def test_without_a_field_text_the_others_are_named(format_: str, tmp_path: Path) -> None:
    source = written(tmp_path, format_, [{"content": "one", "n": 1}])
    with pytest.raises(TextError, match=r"'text'.*content, n") as caught:
        read_dataset(source)
    assert "\n" not in str(caught.value)


@every_format
def test_an_empty_file_is_one_line(format_: str, tmp_path: Path) -> None:
    name, _ = FORMATS[format_]
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(TextError) as caught:
        read_dataset(str(tmp_path / name))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("format_", [f for f in FORMATS if FORMATS[f][1] is not _as_parquet])
def test_a_file_of_other_bytes_is_one_line(format_: str, tmp_path: Path) -> None:
    name, _ = FORMATS[format_]
    (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xff")
    with pytest.raises(TextError) as caught:
        read_dataset(str(tmp_path / name))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("a.txt", "The cat\n\nThe dog\n", ["The cat", "The dog"]),
        ("a.txt", "The cat<|endoftext|>The dog", ["The cat", "The dog"]),
        ("a.txt", "The cat\r\n\r\nThe\r\ndog\r\n", ["The cat", "The\ndog"]),
        ("a.jsonl", '{"text":"The cat"}\n', ["The cat"]),
        (
            "a.jsonl",
            '{"text":"The cat"}\r\n\r\n \t\r\n{"text":"a\\r\\nb"}\r\n',
            ["The cat", "a\r\nb"],
        ),
        ("a.json", '[{"text":"The cat"}]', ["The cat"]),
        ("a.json", ' \n[\n{"text":"The cat"}, {"text": null}\n]\n', ["The cat"]),
        ("a.txt", "in \ufeff between", ["in \ufeff between"]),
        ("a.jsonl", '{"text":"🐸 \\ud83d\\udc38"}', ["🐸 🐸"]),
    ],
)
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("compress", [None, gzip.compress, bz2.compress])
def test_marks_and_line_ends_are_no_part_of_a_text(
    name: str,
    content: str,
    texts: list[str],
    mark: bytes,
    compress: Callable[[bytes], bytes] | None,
    tmp_path: Path,
) -> None:
    data = mark + content.encode()
    ending = "" if compress is None else {gzip.compress: ".gz", bz2.compress: ".bz2"}[compress]
    file = tmp_path / (name + ending)
    file.write_bytes(data if compress is None else compress(data))
    assert list(read_dataset(str(file)).texts) == texts


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.json"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-be"])
def test_utf16_is_told(name: str, encoding: str, tmp_path: Path) -> None:
    text = "\ufeff" * (encoding == "utf-16-be") + '{"text": "The cat sat"}'
    (tmp_path / name).write_bytes(text.encode(encoding))
    with pytest.raises(TextError, match=rf"{name}: UTF-(16|32).*`iconv -f UTF-\1 -t UTF-8`"):
        read_dataset(str(tmp_path / name))


@pytest.mark.parametrize(
    ("escape", "text"),
    [
        ("cut \\ud83d here", "cut \ufffd here"),
        ("\\udc38\\ud83d", "\ufffd\ufffd"),
        ("whole \\ud83d\\udc38", "whole 🐸"),
        ("end \\ud83d", "end \ufffd"),
    ],
)
def test_half_a_surrogate_pair_is_a_replacement_character(
    escape: str, text: str, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"text": "{escape}", "label": "{escape}"}}\n')
    found = read_dataset(str(tmp_path / "a.jsonl"))
    assert list(found.texts) == [text]
    assert list(found.labels) == [text]
    found.texts[0].encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"text": "a"}\n{"text": 3.5}\n', r"line 2: 'text' .*\bfloat\b"),
        ('{"text": "a"}\n\n{"text": true}\n', r"line 3: 'text' .*\bbool\b"),
        ('{"text": "a"}\n{"text": ["b"]}\n', r"line 2: 'text' .*\blist\b"),
        ('{"text": "a"}\n{"text": "b"\n', r"line 2: .*\bobject\b.*'text'"),
        ('{"text": "a"}\n"b"\n', r"line 2: .*\bobject\b.*'text' .*'b'"),
        ('{"text": "a"}\n3\n', r"line 2: .*\bobject\b"),
        ('{"text": "a"}\nnull\n', r"line 2: .*\bobject\b"),
        ('{"text": "a"}\n{}\n', r"line 2: .*\bobject\b"),
        ('["a", "b"]\n', r"entry 1: .*\bobject\b"),
        ('["a"]\n["b"]\n', r"line 1: .*\bobject\b"),
        ("[" * 100_000, r"line 1: .*\bobject\b"),
        ('{\n "text": "a"\n}\n', r"line 1: .*\bobject\b"),
    ],
)
def test_wrong_lines_are_told_by_number(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(TextError) as caught:
        read_dataset(str(tmp_path / "a.jsonl"))
    assert re.search(rf"a\.jsonl, {said}", str(caught.value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_columns_of_bytes_that_are_no_text_are_told_by_row(name: str, tmp_path: Path) -> None:
    buffers = pa.array([b"good", b"caf\xe9", b"good"]).buffers()
    text = pa.Array.from_buffers(pa.string(), 3, buffers)
    table = pa.table({"text": text})
    if name == "a.parquet":
        parquet.write_table(table, tmp_path / name)
    else:
        with ipc.new_file(tmp_path / name, table.schema) as writer:
            writer.write_table(table)
    with pytest.raises(TextError, match=f"{name}, row 2: .*UTF-8"):
        read_dataset(str(tmp_path / name))


def test_what_is_compressed_wrongly_is_told(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "a.txt.zst", "a.txt.bz2"):
        (tmp_path / name).write_bytes(b"no archive at all")
        with pytest.raises(TextError, match=name):
            read_dataset(str(tmp_path / name))
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress(b"PAR1"))
    with pytest.raises(TextError, match=r"'\.gz'.*\.parquet"):
        read_dataset(str(tmp_path / "a.parquet.gz"))


def test_zstd(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl.zst"
    with pa.output_stream(str(file), compression="zstd") as stream:
        stream.write(b'{"text": "one"}\n{"text": "two"}\n')
    assert list(read_dataset(str(file)).texts) == ["one", "two"]


@pytest.mark.parametrize("source", ["~nobody-of-that-name/a.txt", "a" * 5000, "é\udce9.txt"])
def test_paths_that_cannot_be_are_named(source: str) -> None:
    with pytest.raises(TextError) as caught:
        read_dataset(source)
    str(caught.value).encode()


@pytest.mark.parametrize("size", [1, 7, 40])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_lines_are_read_alike_however_much_is_held(
    size: int, ending: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines = ['{"text": "Zwölf"}', "", '{"text": "🐸 \ufeff"}\r', ' {"text": "last"}']
    file, data = tmp_path / f"a.jsonl{ending}", codecs.BOM_UTF8 + "\n".join(lines).encode()
    file.write_bytes(gzip.compress(data) if ending else data)
    monkeypatch.setattr(files, "CHUNK_BYTES", size)
    assert list(read_dataset(str(file)).texts) == ["Zwölf", "🐸 \ufeff", "last"]


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (b"3\n", r"line 4: .*\bobject\b"),
        (b'{"text": "\xff"}', r"not UTF-8 at byte 45 \(line 4\)"),
    ],
)
def test_wrong_lines_far_into_a_file_are_told_by_number(
    last: bytes, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"text": "one"}\n\n{"text": "three"}\n' + last)
    monkeypatch.setattr(files, "CHUNK_BYTES", 8)
    with pytest.raises(TextError, match=said):
        read_dataset(str(file))
    # What is not read is not looked at.
    assert list(read_dataset(str(file), 1).texts) == ["one"]
