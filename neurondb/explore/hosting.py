"""The texts of a published directory: how to serve it here, and in a container."""

import re
from collections.abc import Mapping
from importlib.metadata import requires
from string import Template
from typing import Any, Final

from neurondb import __version__

INGESTION: Final = frozenset({"safetensors", "torch", "transformer-lens", "transformers"})
"""What no page needs; gigabytes that a container does without."""

_DOCKERFILE: Final = Template("""\
# The site of this directory:  docker build -t neurons . && docker run -p 8001:8001 neurons
# Where no package index has this version:  --build-arg NEURONDB=URL of its wheel
FROM python:3.12-slim
ARG NEURONDB=neurondb==$version
# The dependencies by name, because those of ingestion (torch) are not needed here.
RUN pip install --no-cache-dir --no-deps "$$NEURONDB" \\
 && pip install --no-cache-dir \\
$needed
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


def dockerfile() -> str:
    """Return a Dockerfile that serves the directory it is in."""
    lines = [f'      "{requirement}"' for requirement in needed()]
    return _DOCKERFILE.substitute(version=__version__, needed=" \\\n".join(lines))


def needed() -> list[str]:
    """Return what serving needs to be installed beside this package."""
    found = [one for one in requires("neurondb") or () if "extra ==" not in one]
    return sorted(one for one in found if _name(one) not in INGESTION)


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    return found[0].lower().replace("_", "-") if found else requirement


def readme(settings: Mapping[str, Any], **facts: object) -> str:
    """Return README.txt.

    Args:
        settings: of Datasette, by name.
        facts: title, models, directory, file, n_bytes, sha256.
    """
    options = " \\\n        ".join(
        f"--setting {name} {_spelled(value)}" for name, value in settings.items()
    )
    line = "=" * len(str(facts["title"]))
    return _README.substitute(facts, settings=options, line=line, version=__version__)


def _spelled(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
