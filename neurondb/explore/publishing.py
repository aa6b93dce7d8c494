"""Publish: a directory with a finished copy of a database and all that it takes to host it."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from neurondb.database import driver
from neurondb.errors import DatabaseError, NeuronDBError, UsageError
from neurondb.explore.hosting import dockerfile, readme
from neurondb.explore.server import Service, configuration, inspected, servable, settings_of
from neurondb.explore.site import PLUGIN, TITLE
from neurondb.jobs import Progress
from neurondb.reading.checking import problems
from neurondb.reading.models import find_model, list_models
from neurondb.reading.opening import opened
from neurondb.render.numbers import size
from neurondb.schema import metadata
from neurondb.writing import copying

FILE: Final = "neurondb.db"
FILES: Final = frozenset(
    (
        *(FILE, "inspect-data.json", "metadata.json", "settings.json", "datasette.json"),
        *("Dockerfile", "README.txt"),
    )
)
"""What a published directory has; the names are those that Datasette looks for."""
_WORK: Final = "unpruned.db"
_LEFT_BY_SQLITE: Final = ("", "-wal", "-shm", "-journal")
_BLOCK: Final = 4 * copying.MEGABYTE


@dataclass(frozen=True)
class Publication:
    """What to publish.

    Attributes:
        directory: to be made.
        database: path or URL; None is the default database.
        models: names; none is all.
        title: of the site.
        force: replace what was published there before.
    """

    directory: Path
    database: str | None = None
    models: tuple[str, ...] = ()
    title: str = TITLE
    force: bool = False


@dataclass(frozen=True)
class Published:
    """What was published: the names of its models, and the database's bytes."""

    models: tuple[str, ...]
    n_bytes: int


def publish(wanted: Publication, progress: Progress) -> Published:
    """Write a directory that anybody can host; it appears when all of it is there.

    The source is read in one transaction, so that it may be written to meanwhile.

    Raises:
        UsageError: when the directory is there and may not be replaced.
        DatabaseError: when the database cannot be read or is not whole, a model is not in it, or
            the disk is full.
    """
    source = servable(wanted.database)
    names = _models(str(source), wanted.models)
    with _appearing(wanted.directory, force=wanted.force) as partial:
        _check_room(source, partial, copies=2 if wanted.models else 1)
        file = partial / FILE
        _copy(source, file, names if wanted.models else (), progress)
        copying.finish(file, progress)
        _check(source, file, progress)
        names = _models(str(file), ())
        _write_texts(partial, wanted, names, _fingerprint(file, progress))
        n_bytes = file.stat().st_size
    return Published(names, n_bytes)


def _models(location: str, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of models as they stand in a database; of all, where none are wanted."""
    with opened(location) as connection:
        if wanted:
            return tuple(dict.fromkeys(find_model(connection, name).name for name in wanted))
        return tuple(one.model.name for one in list_models(connection))


def _check_room(source: Path, target: Path, *, copies: int) -> None:
    need, free = copies * copying.live_bytes(source), shutil.disk_usage(target).free
    if need > free:
        raise DatabaseError(
            f"the copy needs {size(need)} in {target.parent}, where {size(free)} are free; free "
            "some space or choose another directory"
        )


def _copy(source: Path, file: Path, names: tuple[str, ...], progress: Progress) -> None:
    if not names:
        copying.copy(source, file, progress)
        return
    work = file.with_name(_WORK)
    copying.copy(source, work, progress)
    copying.keep(work, names, progress)
    copying.copy(work, file, progress, "compacting")
    for suffix in _LEFT_BY_SQLITE:
        Path(f"{work}{suffix}").unlink(missing_ok=True)


def _check(source: Path, file: Path, progress: Progress) -> None:
    """Refuse what was not whole before it was copied; VACUUM made the pages of the copy anew."""
    progress.note("checking the copy")
    with opened(str(file)) as connection:
        # Looks at nothing, but lets Ctrl-C in while SQLite reads gigabytes.
        driver(connection).set_progress_handler(lambda: 0, copying.BREATH)
        for problem in problems(connection, quick=True):
            raise DatabaseError(
                f"{source} is not whole: {problem.what}: {problem.remedy}; "
                "`neurondb check` tells all that is wrong"
            )


def _fingerprint(file: Path, progress: Progress) -> str:
    found = hashlib.sha256()
    n_blocks = -(-file.stat().st_size // _BLOCK)
    per_block = _BLOCK // copying.MEGABYTE
    stage = progress.stage("fingerprint", n_blocks * per_block, "MB")
    with file.open("rb") as stream, stage as advance:
        while block := stream.read(_BLOCK):
            found.update(block)
            advance(per_block)
    return found.hexdigest()


def _write_texts(
    partial: Path, wanted: Publication, names: tuple[str, ...], fingerprint: str
) -> None:
    file, service = partial / FILE, Service(public=True)
    settings = settings_of(service)
    old, modern = (configuration(file.stem, service, modern=modern) for modern in (False, True))
    described = old["metadata"] | {"title": wanted.title}
    for options in (described["plugins"], modern["config"]["plugins"]):
        options[PLUGIN]["title"] = wanted.title
    _write_json(partial / "inspect-data.json", _counted(file, fingerprint))
    _write_json(partial / "metadata.json", described)
    _write_json(partial / "settings.json", settings)
    _write_json(partial / "datasette.json", modern["config"] | {"settings": settings})
    (partial / "Dockerfile").write_text(dockerfile(), encoding="utf-8")
    text = readme(
        settings,
        title=wanted.title,
        models=", ".join(names) or "no models yet",
        directory=wanted.directory.resolve().name,
        file=FILE,
        n_bytes=file.stat().st_size,
        sha256=fingerprint,
    )
    (partial / "README.txt").write_text(text, encoding="utf-8")


def _counted(file: Path, fingerprint: str) -> dict[str, Any]:
    """Return Datasette's inspect data; a table of ours that ANALYZE did not mention is empty."""
    found = inspected(file, fingerprint)
    for name, table in found[file.stem]["tables"].items():
        if name in metadata.tables:
            table["count"] = table["count"] or 0
    return found


def _write_json(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@contextmanager
def _appearing(directory: Path, *, force: bool) -> Iterator[Path]:
    """Yield a directory to fill, which gets its name at the end; a failure leaves nothing."""
    directory = directory.resolve()
    _refuse(directory, force=force)
    partial = directory.with_name(f"{directory.name}.partial")
    _remove_ours(partial)  # left by a run that was killed
    try:
        partial.mkdir(parents=True)
        yield partial
        _replace(partial, directory)
    except OSError as error:
        said = f"{error.strerror or error}; nothing was published"
        raise DatabaseError(f"cannot write {directory}: {said}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _refuse(directory: Path, *, force: bool) -> None:
    if not directory.exists():
        return
    if not directory.is_dir():
        raise UsageError(f"{directory} is a file; choose another directory with -o")
    there = sorted(path.name for path in directory.iterdir())
    others = [name for name in there if name not in FILES]
    if others:
        raise UsageError(
            f"{directory} holds other files, such as {others[0]}; choose another directory with -o"
        )
    if there and not force:
        raise UsageError(f"{directory} is there already; --force replaces what was published in it")


def _replace(partial: Path, directory: Path) -> None:
    before = directory.with_name(f"{directory.name}.before")
    _remove_ours(before)
    if directory.exists():
        directory.rename(before)
    partial.rename(directory)
    _remove_ours(before)


def _remove_ours(directory: Path) -> None:
    """Remove a directory of ours; one that holds anything else stays, and is an error."""
    if not directory.exists():
        return
    ours = {f"{name}{suffix}" for name in (*FILES, _WORK) for suffix in _LEFT_BY_SQLITE}
    others = [path.name for path in directory.iterdir() if path.name not in ours]
    if others:
        raise NeuronDBError(
            f"{directory} is in the way and holds other files, such as {others[0]}; move it"
        )
    shutil.rmtree(directory)
