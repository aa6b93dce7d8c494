"""Publish: a directory with a finished copy of a database and all that it takes to host it."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Final

from neurondb import __version__
from neurondb.contracts.progress import Progress
from neurondb.errors import DatabaseError, NeuronDBError
from neurondb.explore.server import (
    Service,
    build_configuration,
    choose_settings,
    find_servable_file,
    read_inspect_data,
)
from neurondb.explore.site import PLUGIN, TITLE
from neurondb.formatting.numbers import format_size
from neurondb.reading.integrity import find_problems
from neurondb.reading.models import find_model, list_models, open_readonly
from neurondb.schema import metadata
from neurondb.writing import copying

FILE: Final = "neurondb.db"
FILES: Final = frozenset(
    (
        *(FILE, "inspect-data.json", "metadata.json", "settings.json", "datasette.json"),
        *("Dockerfile", "README.txt"),
    )
)
"""A published directory has these files; Datasette looks for them by these names."""
_UNPRUNED: Final = "unpruned.db"
_LEFT_BY_SQLITE: Final = ("", "-wal", "-shm", "-journal")
_BLOCK: Final = 4 * copying.MEGABYTE
_DOCKERFILE: Final = Template("""\
# The site of this directory:  docker build -t neurons . && docker run -p 8001:8001 neurons
# Where no package index has this version:  --build-arg NEURONDB="neurondb[site] @ URL of its wheel"
FROM python:3.12-slim
ARG NEURONDB="neurondb[site]==$version"
RUN pip install --no-cache-dir "$$NEURONDB"
RUN useradd --create-home reader
USER reader
WORKDIR /srv
COPY --chown=reader . /srv/neurondb
EXPOSE 8001
CMD ["sh", "-c", "exec datasette serve neurondb --host 0.0.0.0 --port $${PORT:-8001}"]
""")

_README: Final = Template("""\
$title
$line

Neurons of $models, as a site that only reads. Made by NeuronDB $version.

Here, with `pip install neurondb`, from the directory above this one:

    datasette serve $directory
    neurondb serve --public --db $directory/$file

The first takes its settings, texts and counts from the files beside the database; with each of them
named it is

    datasette serve -i $directory/$file \\
        --inspect-file $directory/inspect-data.json \\
        --metadata $directory/metadata.json \\
        $settings

In a container:

    docker build -t neurons $directory
    docker run -p 8001:8001 neurons

Elsewhere: copy the directory; behind a proxy at an address of its own, add
`--setting base_url /path/`. datasette.json is for Datasette 1.0, which reads it in place of
settings.json.

$file: $n_bytes bytes, sha256 $sha256
""")


@dataclass(frozen=True)
class Publication:
    """What to publish.

    Attributes:
        directory: the directory to make.
        database: its path or URL; None is the default database.
        models: names of the models to publish; an empty tuple is all.
        title: the title of the site.
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


def publish(publication: Publication, progress: Progress) -> Published:
    """Write a directory that anybody can host; it appears when all of it is there.

    The source is read in one transaction, so that it may be written to meanwhile.

    Raises:
        DatabaseError: when the directory is there and may not be replaced.
        DatabaseError: when the database cannot be read or is not whole, a model is not in it, or
            the disk is full.
    """
    source = find_servable_file(publication.database)
    names = _find_model_names(str(source), publication.models)
    with _write_then_rename(publication.directory, force=publication.force) as partial:
        _check_room(source, partial, copies=2 if publication.models else 1)
        file = partial / FILE
        _copy(source, file, names if publication.models else (), progress)
        copying.finish_copy(file, progress)
        _check(source, file, progress)
        names = _find_model_names(str(file), ())
        _write_texts(partial, publication, names, _hash_file(file, progress))
        n_bytes = file.stat().st_size
    return Published(names, n_bytes)


def _find_model_names(location: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the models asked for, or of all models, as the database has them."""
    with open_readonly(location) as connection:
        if names:
            return tuple(dict.fromkeys(find_model(connection, name).name for name in names))
        return tuple(summary.model.name for summary in list_models(connection))


def _check_room(source: Path, target: Path, *, copies: int) -> None:
    need, available = copies * copying.measure_live_bytes(source), shutil.disk_usage(target).free
    if need > available:
        raise DatabaseError(
            f"the copy needs {format_size(need)} in {target.parent}, where "
            f"{format_size(available)} are "
            "free; free some space or choose another directory"
        )


def _copy(source: Path, file: Path, names: tuple[str, ...], progress: Progress) -> None:
    if not names:
        copying.copy_database(source, file, progress)
        return
    unpruned = file.with_name(_UNPRUNED)
    copying.copy_database(source, unpruned, progress)
    copying.keep_models(unpruned, names, progress)
    copying.copy_database(unpruned, file, progress, "compacting")
    for suffix in _LEFT_BY_SQLITE:
        Path(f"{unpruned}{suffix}").unlink(missing_ok=True)


def _check(source: Path, file: Path, progress: Progress) -> None:
    """Refuse a copy of a damaged source: VACUUM wrote new pages, but not what was missing."""
    progress.note("checking the copy")
    with open_readonly(str(file)) as connection:
        for problem in find_problems(connection, quick=True):
            raise DatabaseError(
                f"{source} is not whole: {problem.what}: {problem.remedy}; "
                "`neurondb check` tells all that is wrong"
            )


def _hash_file(file: Path, progress: Progress) -> str:
    digest = hashlib.sha256()
    n_blocks = -(-file.stat().st_size // _BLOCK)
    per_block = _BLOCK // copying.MEGABYTE
    stage = progress.stage("fingerprint", n_blocks * per_block, "MB")
    with file.open("rb") as stream, stage as advance:
        while block := stream.read(_BLOCK):
            digest.update(block)
            advance(per_block)
    return digest.hexdigest()


def _write_texts(
    partial: Path, publication: Publication, names: tuple[str, ...], fingerprint: str
) -> None:
    file, service = partial / FILE, Service(public=True)
    settings = choose_settings(service)
    old, modern = (
        build_configuration(file.stem, service, modern=modern) for modern in (False, True)
    )
    metadata = old["metadata"] | {"title": publication.title}
    for options in (metadata["plugins"], modern["config"]["plugins"]):
        options[PLUGIN]["title"] = publication.title
    _write_json(partial / "inspect-data.json", _count_rows(file, fingerprint))
    _write_json(partial / "metadata.json", metadata)
    _write_json(partial / "settings.json", settings)
    _write_json(partial / "datasette.json", modern["config"] | {"settings": settings})
    (partial / "Dockerfile").write_text(format_dockerfile(), encoding="utf-8")
    text = format_readme(
        settings,
        title=publication.title,
        models=", ".join(names) or "no models yet",
        directory=publication.directory.resolve().name,
        file=FILE,
        n_bytes=file.stat().st_size,
        sha256=fingerprint,
    )
    (partial / "README.txt").write_text(text, encoding="utf-8")


def _count_rows(file: Path, fingerprint: str) -> dict[str, Any]:
    """Return Datasette's inspect data; a table of ours that ANALYZE did not mention is empty."""
    data = read_inspect_data(file, fingerprint)
    for name, table in data[file.stem]["tables"].items():
        if name in metadata.tables:
            table["count"] = table["count"] or 0
    return data


def _write_json(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@contextmanager
def _write_then_rename(directory: Path, *, force: bool) -> Iterator[Path]:
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
        reason = f"{error.strerror or error}; nothing was published"
        raise DatabaseError(f"cannot write {directory}: {reason}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _refuse(directory: Path, *, force: bool) -> None:
    if not directory.exists():
        return
    if not directory.is_dir():
        raise DatabaseError(f"{directory} is a file; choose another directory with -o")
    names = sorted(path.name for path in directory.iterdir())
    other_names = [name for name in names if name not in FILES]
    if other_names:
        raise DatabaseError(
            f"{directory} holds other files, such as {other_names[0]}; "
            "choose another directory with -o"
        )
    if names and not force:
        raise DatabaseError(
            f"{directory} is there already; --force replaces what was published in it"
        )


def _replace(partial: Path, directory: Path) -> None:
    previous = directory.with_name(f"{directory.name}.before")
    _remove_ours(previous)
    if directory.exists():
        directory.rename(previous)
    partial.rename(directory)
    _remove_ours(previous)


def _remove_ours(directory: Path) -> None:
    """Remove a published directory; one that holds other files stays, and is an error."""
    if not directory.exists():
        return
    published_names = {
        f"{name}{suffix}" for name in (*FILES, _UNPRUNED) for suffix in _LEFT_BY_SQLITE
    }
    other_names = [path.name for path in directory.iterdir() if path.name not in published_names]
    if other_names:
        raise NeuronDBError(
            f"{directory} is in the way and holds other files, such as {other_names[0]}; move it"
        )
    shutil.rmtree(directory)


def format_dockerfile() -> str:
    """Return a Dockerfile that serves the directory it is in."""
    return _DOCKERFILE.substitute(version=__version__)


def format_readme(settings: Mapping[str, Any], **facts: object) -> str:
    """Return README.txt.

    Args:
        settings: Datasette's settings, by name.
        facts: values for its fields title, models, directory, file, n_bytes and sha256.
    """
    options = " \\\n        ".join(
        f"--setting {name} {_format_setting(value)}" for name, value in settings.items()
    )
    line = "=" * len(str(facts["title"]))
    return _README.substitute(facts, settings=options, line=line, version=__version__)


def _format_setting(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
