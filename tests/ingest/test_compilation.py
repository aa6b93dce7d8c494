"""Compiling at first use: once, for this processor, and one line where it cannot be done."""

import ctypes
import os
import re
import shutil
import stat
from pathlib import Path

import pytest

from ingest import compilation as module
from ingest.compilation import NotCompiledError, load_or_build


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for what is kept."""
    monkeypatch.setattr(module, "user_cache_path", lambda _name: tmp_path / "cache")
    return tmp_path / "cache" / "compiled"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A source that takes no seconds."""
    file = tmp_path / "answer.c"
    file.write_text("int answer(void) { return 42; }")
    return file


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that writes a line a call into the file returned."""
    if not any(map(shutil.which, module.COMPILERS)):
        pytest.skip("no C compiler here")
    calls, script = tmp_path / "calls", tmp_path / "compiler"
    named = next(name for name in module.COMPILERS if shutil.which(name))
    script.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nexec {named} "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CC", str(script))
    return calls


def n_calls(calls: Path) -> int:
    return len(calls.read_text().splitlines())


def test_it_is_compiled_once(cache: Path, source: Path, counting: Path) -> None:
    for _ in range(2):
        assert isinstance(load_or_build(source), ctypes.CDLL)
        assert n_calls(counting) == 1
    assert len(list(cache.iterdir())) == 1


def test_what_is_damaged_is_compiled_again(cache: Path, source: Path, counting: Path) -> None:
    cache.mkdir(parents=True)
    load_or_build(source)
    (kept,) = cache.iterdir()
    good = kept.read_bytes()
    kept.unlink()
    kept.write_bytes(b"no library")
    load_or_build(source)
    assert n_calls(counting) == 2
    assert kept.read_bytes()[:4] == good[:4]


def test_another_source_or_processor_is_another_library(
    cache: Path, source: Path, counting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_or_build(source)
    monkeypatch.setattr(module, "_processor", lambda: "another")
    load_or_build(source)
    source.write_text("int answer(void) { return 43; }")
    assert load_or_build(source).answer() == 43
    assert n_calls(counting) == 3
    assert len(list(cache.iterdir())) == 3


def test_another_header_is_another_library(cache: Path, source: Path, counting: Path) -> None:
    header = source.with_name("number.h")
    header.write_text("enum { NUMBER = 42 };")
    source.write_text('#include "number.h"\nint answer(void) { return NUMBER; }')
    assert load_or_build(source).answer() == 42
    header.write_text("enum { NUMBER = 43 };")
    assert load_or_build(source).answer() == 43
    assert n_calls(counting) == len(list(cache.iterdir())) == 2


def test_where_nothing_can_be_kept_it_is_compiled_each_time(
    cache: Path, source: Path, counting: Path
) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder would be")
    for n in (1, 2):
        assert isinstance(load_or_build(source), ctypes.CDLL)
        assert n_calls(counting) == n


def test_a_compiler_that_knows_not_every_option_is_asked_with_less(
    cache: Path, source: Path, counting: Path, tmp_path: Path
) -> None:
    script = tmp_path / "compiler"
    lines = script.read_text().splitlines()
    lines.insert(2, 'case "$*" in *native*) echo "unknown option" >&2; exit 1;; esac')
    script.write_text("\n".join(lines) + "\n")
    load_or_build(source)
    assert [("native" in call) for call in counting.read_text().splitlines()] == [True, True, False]
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize(
    ("compiler", "said"),
    [
        ("false", r"\bfalse\b.* 1\b"),
        ("/nowhere/cc", "'/nowhere/cc'"),
    ],
)
def test_no_compiler_is_one_line(
    cache: Path, source: Path, monkeypatch: pytest.MonkeyPatch, compiler: str, said: str
) -> None:
    monkeypatch.setenv("CC", compiler)
    with pytest.raises(NotCompiledError) as raised:
        load_or_build(source)
    assert re.search(said, str(raised.value))
    assert "\n" not in str(raised.value)
    assert not cache.exists()


def test_without_any_compiler_it_says_which_were_looked_for(
    cache: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(module, "COMPILERS", ("no-such-compiler",))
    with pytest.raises(NotCompiledError, match=r"no-such-compiler\b.*\bCC\b"):
        load_or_build(source)
    assert not cache.exists()


def test_where_no_compiler_is_a_packaged_one_compiles(
    cache: Path, source: Path, counting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, named = tmp_path / "site" / module.PACKAGED, os.environ["CC"]
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        f"import os, sys\nassert sys.argv[1] == 'cc'\nos.execv({named!r}, ['cc', *sys.argv[2:]])"
    )
    monkeypatch.delenv("CC")
    monkeypatch.setattr(module, "COMPILERS", ())
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    assert load_or_build(source).answer() == 42
    assert n_calls(counting) == 1
    assert len(list(cache.iterdir())) == 1


def test_without_any_compiler_the_line_says_what_brings_one(
    cache: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(module, "COMPILERS", ("no-such-compiler",))
    monkeypatch.setattr(module, "PACKAGED", "no_such_package")
    with pytest.raises(NotCompiledError, match="pip install no_such_package brings one"):
        load_or_build(source)
    assert not cache.exists()
