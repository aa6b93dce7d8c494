"""Commands to run next, spelled so that they can be pasted."""

import shlex

from rich.text import Text

from neurondb.known_models import KNOWN
from neurondb.render.text import visible


def ingest_command(name: str, source: str, *stages: str) -> str:
    """Return the command that ingests stages of a model of the database."""
    known = KNOWN.get(name)
    if known is not None and known.hub_id == source:
        model = name
    else:
        model = f"{shlex.quote(source)} --name {shlex.quote(name)}"
    dataset = " --dataset TEXTS" if "activations" in stages else ""
    return visible(f"neurondb ingest {model} --stages {','.join(dict.fromkeys(stages))}{dataset}")


def not_ingested(name: str, source: str, stage: str) -> Text:
    """Return the line that stands where a stage's numbers would."""
    return hint(f"not ingested: run `{ingest_command(name, source, stage)}`")


def hint(line: str) -> Text:
    """Return a line that stays one line however long, so that its command can be pasted."""
    return Text(line, "caution", no_wrap=True, overflow="ignore")
