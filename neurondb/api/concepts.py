"""What `concept` is asked for, answered from the database or by the job."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from neurondb.api.jobs import run_job
from neurondb.contracts.concept import ConceptReport, ConceptRequest, ConceptSettings
from neurondb.contracts.inputs import Machine
from neurondb.contracts.progress import Progress
from neurondb.reading.concepts import find_stored_concept, read_fingerprint
from neurondb.reading.models import find_model, open_readonly

SETTINGS: Final = {
    "prompts": "prompts",
    "contexts": "contexts",
    "candidates": "n_candidates",
    "random": "n_random",
    "seed": "seed",
    "hook": "hook",
    "scale": "scale",
    "from_": "low",
    "to": "high",
    "steps": "n_steps",
    "sweeps": "n_sweeps",
}
"""Option → what `ConceptSettings` calls it."""
ROWS: Final = """
    SELECT run_id, model, concept, random, rank, name, neuron_id, vector, sign, direction, cosine,
           hook, low, high, low_change, high_change, change, best_value, best_probability,
           other_change, clean_probability, stronger, n_random, p_value
    FROM concept_neurons
    WHERE run_id IN ({runs})
    ORDER BY run_id, random, rank"""
"""The neurons of runs, whose ids are to be filled in."""


def make_concept_request(
    model: str, database: str | None, concepts: Sequence[str], options: Mapping[str, Any]
) -> ConceptRequest:
    """Return the request that options describe; one that is missing or None is its default.

    Raises:
        UsageError: when they make no sense together, or there is no concept.
        TypeError: when one is called as no option is.
    """
    known = (*SETTINGS, "device", "dtype", "force")
    for name in options:
        if name not in known:
            raise TypeError(f"concept has no option {name!r}; it has {', '.join(sorted(known))}")
    given = {name: value for name, value in options.items() if value is not None}
    settings = {field: given[name] for name, field in SETTINGS.items() if name in given}
    settings |= {name: tuple(v) for name, v in settings.items() if isinstance(v, list)}
    machine = Machine(model, database, given.get("device", "auto"), given.get("dtype", "auto"))
    request = ConceptRequest(
        machine, tuple(concepts), ConceptSettings(**settings), bool(given.get("force"))
    )
    request.check()
    return request


def answer_concepts(request: ConceptRequest, progress: Progress | None = None) -> ConceptReport:
    """Return the runs that answer a request; the model runs only for what is not stored.

    Raises:
        MissingExtraError: when the extra `ingest` is not installed, and something must be run.
        NeuronDBError: as the job does.
    """
    stored = None if request.force else _find_stored(request)
    if stored is not None:
        return ConceptReport(stored, 0, 0.0)
    report: ConceptReport = run_job("concept", request, progress)
    return report


def _find_stored(request: ConceptRequest) -> tuple[int, ...] | None:
    """Return the runs of all concepts, or None where one is not stored."""
    with open_readonly(request.machine.database) as connection:
        model = find_model(connection, request.machine.model)
        fingerprint = read_fingerprint(connection, model)
        found = [
            find_stored_concept(connection, request.identify(one, model.model_id, fingerprint))
            for one in dict.fromkeys(text.strip() for text in request.concepts)
        ]
    runs = tuple(run_id for run_id in found if run_id is not None)
    return runs if len(runs) == len(found) else None
