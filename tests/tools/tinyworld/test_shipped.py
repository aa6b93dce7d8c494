"""What ships of the little world is what its generator gives."""

import gzip
from pathlib import Path

import pytest

from ingest.bundled import tinyworld
from tools.tinyworld import shipped, world


def content(name: str) -> str:
    data = (tinyworld.DIRECTORY / name).read_bytes()
    return (gzip.decompress(data) if name.endswith(".gz") else data).decode()


@pytest.mark.parametrize("name", shipped.contents())
def test_the_files_are_what_the_generator_gives(name: str) -> None:
    assert content(name) == shipped.contents()[name]


def test_what_is_read_is_what_was_written() -> None:
    assert tinyworld.read_facts() == world.facts()
    assert list(tinyworld.read_heldout_texts(7)) == list(world.heldout(7))
    assert list(tinyworld.read_training_texts(7)) == list(world.texts(0, 7))


def test_nothing_is_read_that_does_not_ship() -> None:
    with pytest.raises(ValueError, match="has 600 texts, not 601"):
        tinyworld.read_heldout_texts(tinyworld.N_HELDOUT + 1)


def test_writing_again_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tinyworld, "DIRECTORY", tmp_path)
    shipped.write()
    once = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    shipped.write()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == once
    assert set(once) == set(shipped.contents())
