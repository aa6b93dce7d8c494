"""One concept run: the word or phrase, its candidates, and random neurons beside them."""

import shlex
from dataclasses import dataclass
from typing import Final

from neurondb.explore.lasting_runs import find_number, make_run_page
from neurondb.explore.site import Page, Request
from neurondb.explore.sql import Sql
from neurondb.formatting.text import keep_start, make_visible
from neurondb.reading.concepts import ConceptPage, read_concept_page

CANDIDATES_SHOWN: Final = 40
RANDOM_SHOWN: Final = 10
_NEURONS: Final = """SELECT name, random, rank, vector, sign, direction, cosine, low, low_change,
       high, high_change, other_change, best_probability, stronger, n_random, p_value
FROM concept_neurons
WHERE run_id = :run_id
ORDER BY random, rank"""
_SWEEPS: Final = """SELECT name, random, value, change, probability
FROM concept_sweeps
WHERE run_id = :run_id
ORDER BY random, name, step"""


@dataclass(frozen=True)
class Concept:
    """A concept run's page.

    Attributes:
        beyond: candidates that do more than every random neuron.
        by_chance: as many would by chance; None without random neurons.
        command: what does it again.
    """

    page: ConceptPage
    beyond: int
    by_chance: float | None
    n_shown: int
    n_random_shown: int
    command: str
    neurons_sql: Sql
    sweeps_sql: Sql


def answer(request: Request) -> Page:
    """Return a concept run's page.

    Raises:
        UnknownNameError: no such run.
    """
    run_id = find_number(request, "concept", request.path["run_id"])
    page = read_concept_page(request.connection, run_id)
    n_random = page.run.n_random
    given = {"run_id": run_id}
    content = Concept(
        page,
        sum(one.stronger == 0 and one.change > 0 for one in page.candidates) if n_random else 0,
        len(page.candidates) / (n_random + 1) if n_random else None,
        CANDIDATES_SHOWN,
        RANDOM_SHOWN,
        _write_command(page),
        Sql("its neurons", _NEURONS, given),
        Sql("its sweeps", _SWEEPS, given),
    )
    title = f"{keep_start(page.run.concept, 40)} in {make_visible(page.model)}"
    return make_run_page(request, "concept", run_id, title, content)


def _write_command(page: ConceptPage) -> str:
    run = page.run
    parts = ["neurondb", "concept", shlex.quote(page.model), shlex.quote(run.concept)]
    parts += ["--candidates", str(run.n_candidates), "--random", str(run.n_random)]
    parts += ["--seed", str(run.seed), "--hook", run.hook]
    if run.low is not None and run.high is not None:
        parts += ["--from", f"{run.low:g}", "--to", f"{run.high:g}"]
    elif run.scale is not None:
        parts += ["--scale", f"{run.scale:g}"]
    for prompt in page.prompts:
        parts += ["--prompt", shlex.quote(prompt)]
    return make_visible(" ".join(parts))
