"""Write what of the little world ships with the package: its facts, and texts of either side.

    python -m tools.tinyworld.shipped

The files go to `ingest/bundled`, where `ingest.bundled.tinyworld` reads them. The same generator
always gives the same contents; a test tells when they differ.
"""

import gzip
import json
from collections.abc import Iterator

from ingest.bundled import tinyworld
from tools.tinyworld import world

TRAINING_SEED = 0
"""The seed of the corpus that the bundled model was trained on."""


def contents() -> dict[str, str]:
    """Return the content of every file by its name; those in `.gz` are not compressed yet."""
    facts = [json.dumps(fact._asdict()) for fact in world.facts()]
    return {
        tinyworld.FACTS_FILE: "[\n" + ",\n".join(facts) + "\n]\n",
        tinyworld.HELDOUT_FILE: _lines(world.heldout(tinyworld.N_HELDOUT)),
        tinyworld.TRAINING_FILE: _lines(world.texts(TRAINING_SEED, tinyworld.N_TRAINING)),
    }


def write() -> None:
    """Write every file; nothing in them depends on the time or the machine."""
    for name, content in contents().items():
        data = content.encode()
        path = tinyworld.DIRECTORY / name
        path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def _lines(texts: Iterator[str]) -> str:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts)


if __name__ == "__main__":
    write()
