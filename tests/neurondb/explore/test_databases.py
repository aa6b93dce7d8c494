"""The site answers from the file it was given, whatever its name, and no name hides a page."""

import asyncio
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from datasette.app import Datasette
from datasette.version import __version__

from neurondb.explore.databases import choose_database_name
from neurondb.explore.pages import PAGES
from neurondb.explore.server import Service, create_application
from neurondb.explore.site import find_site
from tests.support.sample_facts import Sample

MODERN = not __version__.startswith("0.")
LLAMA = "sample-llama"
ODD = ("run#2", "a?b", "a%20b", "é #", ":memory:")
TAKEN = ("model", "find", "index", "static", "-", "_internal", "_memory", "neuron")


@contextmanager
def asked(datasette: Any) -> Iterator[Any]:
    """Yield what gets an address from a Datasette that has started."""
    runner = asyncio.Runner()
    runner.run(datasette.invoke_startup())
    yield lambda address: runner.run(datasette.client.get(address, follow_redirects=True))
    for database in datasette.databases.values():
        database.close()
    if datasette.executor is not None:
        datasette.executor.shutdown()
    runner.close()


def served(path: Path, how: str) -> Any:
    if how == "plain":
        return Datasette(files=[str(path)])
    return create_application(str(path), Service(public=how == "public", allow_sql=True))


def copied(sample: Sample, path: Path) -> Path:
    """Copy the sample, closed, and put others beside it that its name could be mistaken for."""
    shutil.copy(sample.path, path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE models SET source = 'this one'")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for name in ("run", "a", "a b.db"):
        shutil.copy(sample.path, path.parent / name)
    return path


def check(datasette: Any) -> str:
    """Make sure that every kind of page is there, of the right file; return the database's."""
    with asked(datasette) as get:
        site = find_site(datasette)
        assert site is not None
        address = site.links.database()
        editor = f"{address}/-/query.json" if MODERN else f"{address}.json"
        query = urlencode({"sql": "SELECT DISTINCT source FROM models", "_shape": "array"})
        found = get(f"{editor}?{query}")
        assert found.status_code == 200, found.text[:500]
        assert found.json() == [{"source": "this one"}]
        assert "this one" in get(f"{address}/models.json?_shape=array").text
        for page in (
            *("/", "/index.json", "/find?q=weakening", f"/model/{LLAMA}", f"/neuron/{LLAMA}/1.3"),
            *(address, f"{address}.json", f"{address}/models", f"{address}/models/1"),
            "/-/databases.json",
        ):
            assert get(page).status_code == 200, page
        assert '"this one"' in get(f"/model/{LLAMA}.json").text
        return address


@pytest.mark.parametrize(
    ("stem", "how"),
    [*((stem, "serve") for stem in ODD), ("run#2", "public"), ("run#2", "plain"), ("a?b", "plain")],
)
def test_a_name_of_any_characters_is_that_file(
    stem: str, how: str, sample: Sample, tmp_path: Path
) -> None:
    path = copied(sample, tmp_path / f"{stem}.db")
    before = {one.name for one in tmp_path.iterdir()}
    check(served(path, how))
    made = {one.name for one in tmp_path.iterdir()} - before
    assert all(name.endswith(("-wal", "-shm")) for name in made)


@pytest.mark.parametrize(
    ("stem", "how"),
    [*((stem, "serve") for stem in TAKEN), ("model", "plain"), ("_internal", "plain")],
)
def test_a_name_that_an_address_has_loses_no_page(
    stem: str, how: str, sample: Sample, tmp_path: Path
) -> None:
    address = check(served(copied(sample, tmp_path / f"{stem}.db"), how))
    assert address.startswith("/")
    assert address.strip("/").partition("/")[0] != stem


@pytest.mark.parametrize("how", ["serve", "plain"])
@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")
def test_a_name_that_is_no_text_is_that_file(how: str, sample: Sample, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/by\xff.db"))
    assert check(served(copied(sample, path), how)) == "/by~EF~BF~BD"


@pytest.mark.parametrize("stem", ["run#2", "a.b", "tokens", "x.json", "-x", "--", "neurondb"])
def test_other_names_stay(stem: str) -> None:
    assert choose_database_name(Path(f"{stem}.db")) == stem


def test_what_is_reserved_follows_the_pages(sample: Sample) -> None:
    from neurondb.explore.databases import list_reserved_names

    datasette = served(sample.path, "serve")
    firsts = {
        pattern.strip("/(").split("/")[0].split("(")[0].split("\\")[0].rstrip("$")
        for pattern in PAGES
    }
    assert firsts <= list_reserved_names(datasette)
    assert {"-", "_internal", "_memory"} <= list_reserved_names(datasette)


def test_a_finished_file_is_served_where_nothing_can_be_made_beside_it(
    sample: Sample, tmp_path: Path
) -> None:
    path = copied(sample, tmp_path / "x.db")
    Path(f"{path}-shm").unlink(missing_ok=True)
    Path(f"{path}-wal").unlink(missing_ok=True)
    Path(f"{path}-shm").symlink_to("nowhere")
    for how in ("serve", "public", "plain"):
        check(served(path, how))


@pytest.mark.parametrize("how", ["serve", "plain"])
def test_a_file_that_took_the_place_of_another_is_the_one_that_is_asked(
    how: str, sample: Sample, tmp_path: Path
) -> None:
    """Every page is of the new one, and Datasette's own pages are too."""
    path, query = tmp_path / "x.db", urlencode({"sql": "SELECT DISTINCT source FROM models"})
    shutil.copy(sample.path, path)
    with asked(served(path, how)) as get:
        for source in ("the second", "the third"):
            for _ in range(8):  # as many as there may be threads
                assert source not in get("/x/models.json?_shape=array").text
            new = tmp_path / "new.db"
            shutil.copy(sample.path, new)
            with closing(sqlite3.connect(new)) as connection:
                connection.execute("UPDATE models SET source = ?", (source,))
                connection.commit()
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            new.rename(path)
            for _ in range(8):
                assert source in get("/x/models.json?_shape=array").text
                editor = "/x/-/query.json" if MODERN else "/x.json"
                assert source in get(f"{editor}?{query}").text
            assert source in get(f"/model/{LLAMA}.json").text
