"""What a folder says of itself: its models, which files are whose, and their checksums."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from neurondb import __version__, schema
from neurondb.errors import NeuronDBError
from neurondb.exchange.parquet.layout import MANIFEST, VERSION


@dataclass
class RelationFiles:
    """A relation's files in the order of its rows, their number, and the checksum of its table."""

    files: list[str] = field(default_factory=list)
    rows: int = 0
    checksum: str = f"{0:016x}"


@dataclass
class Manifest:
    """The content of neurondb.json.

    Attributes:
        models: name → fingerprint.
        relations: relation → its files; those of views, which are made anew, are not here.
        complete: whether all relations are there, so that a database can be made of them.
    """

    models: dict[str, str]
    relations: dict[str, RelationFiles] = field(default_factory=dict)
    complete: bool = True

    def write(self, folder: Path) -> None:
        """Write it into a folder."""
        content = {"layout": VERSION, "schema": schema.REVISION, "neurondb": __version__}
        text = json.dumps(content | asdict(self), indent=1, ensure_ascii=False)
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read what a folder says of itself.

    Raises:
        NeuronDBError: when it is no such folder, or of another version.
    """
    file = folder / MANIFEST
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        layout, revision = content["layout"], content["schema"]
        relations = {name: RelationFiles(**one) for name, one in content["relations"].items()}
        found = Manifest(content["models"], relations, content["complete"])
    except FileNotFoundError as error:
        raise NeuronDBError(
            f"{folder} has no {MANIFEST}: it is not what `neurondb export parquet` wrote"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NeuronDBError(f"cannot read {file}: {error}") from error
    if layout != VERSION or revision != schema.REVISION:
        raise NeuronDBError(
            f"{folder} was exported with schema {revision}, this version has {schema.REVISION}; "
            "import it with the version that wrote it and upgrade the database, or export it again"
        )
    return found
