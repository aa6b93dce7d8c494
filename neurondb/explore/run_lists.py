"""Runs of a running model as a page lists them: what each is about, and where its page is."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from neurondb.explore.urls import Urls
from neurondb.reading.attribute_runs import list_attribute_runs
from neurondb.reading.entropy_runs import list_entropy_runs
from neurondb.reading.generation_runs import list_generation_runs
from neurondb.reading.heads import find_head_run
from neurondb.reading.models import Model

SHOWN: Final = 20
"""Runs of each kind that a page lists."""
ENTROPY, ATTRIBUTES, TEXTS = "entropy run", "attribute rates", "texts"
HEADS = "attention heads, run"


@dataclass(frozen=True)
class StoredRun:
    """A run that has a page.

    Attributes:
        kind: what it is, in words.
        model: the model, of a kind whose page is a named query of it.
        about: what tells it from others of its kind: a prompt, or how its neurons were found.
    """

    kind: str
    run_id: int
    about: str
    created_at: str
    model: str = ""

    def address(self, links: Urls) -> str:
        """Return the address of its page."""
        if self.kind == HEADS:
            return links.query("attention-deactivators", model=self.model)
        pages = {ENTROPY: links.entropy, ATTRIBUTES: links.attributes, TEXTS: links.generation}
        return pages[self.kind](self.run_id)


def list_stored_runs(connection: Connection, model: Model) -> tuple[StoredRun, ...]:
    """Return the runs of a model by kind, the newest first, `SHOWN` of each kind at most."""
    entropy = [
        StoredRun(ENTROPY, run.run_id, f"{run.n_tokens:,} tokens", run.created_at)
        for run in list_entropy_runs(connection, model)[:SHOWN]
    ]
    attributes = [
        StoredRun(ATTRIBUTES, run.run_id, run.definition or run.prompts, run.created_at)
        for run in list_attribute_runs(connection, model)[:SHOWN]
    ]
    texts = [
        StoredRun(TEXTS, run.run_id, run.prompt, run.created_at)
        for run in list_generation_runs(connection, model)[:SHOWN]
    ]
    run = find_head_run(connection, model)
    about = "" if run is None else f"{run.n_pairs:,} pairs of a neuron and a head"
    heads = [] if run is None else [StoredRun(HEADS, run.run_id, about, run.created_at, model.name)]
    return (*entropy, *attributes, *texts, *heads)
