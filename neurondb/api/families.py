"""What `families` is asked for, from options by their names to the job's request."""

from collections.abc import Mapping
from typing import Any, Final

from neurondb.api.requests import TEXTS, make_texts_request
from neurondb.contracts.families import FamiliesRequest, FamilySettings
from neurondb.contracts.inputs import Machine
from neurondb.errors import UsageError
from neurondb.spelling import option

SETTINGS: Final = {
    "words": "n_words",
    "min_count": "min_count",
    "least_score": "least_score",
    "tagger": "tagger",
    "shown": "n_shown",
}
"""Option → what `FamilySettings` calls it."""
OTHERS: Final = ("count_bos", "memory", "device", "dtype", "force")
ROWS: Final = """
    SELECT m.name AS model, n.name,
       f.neuron_id, f.sign_case, f.rank,
           f.family, f.test, f.score, f.sign, f.share, f.inside_mean, f.outside_mean
    FROM families f
    JOIN named_neurons n ON n.neuron_id = f.neuron_id
    JOIN models m ON m.model_id = n.model_id
    WHERE f.run_id = :run AND f.rank = 0 AND f.sign_case = 'all'
    ORDER BY f.score DESC, f.neuron_id"""
"""The best test of each neuron over all tokens, the best explained neuron first."""


def make_families_request(
    model: str, database: str | None, options: Mapping[str, Any]
) -> FamiliesRequest:
    """Return the request that options describe; one that is missing or None is its default.

    Raises:
        UsageError: when they name no texts, or make no sense together.
        TypeError: when one is called as no option is.
    """
    known = (*SETTINGS, *(name for name in TEXTS if name != "skip_bos"), *OTHERS)
    for name in options:
        if name not in known:
            raise TypeError(f"families has no option {name!r}; it has {', '.join(sorted(known))}")
    given = {name: value for name, value in options.items() if value is not None}
    settings = {field: given[name] for name, field in SETTINGS.items() if name in given}
    if settings.get("tagger") == "none":
        settings["tagger"] = None
    texts = make_texts_request(given | {"skip_bos": not given.get("count_bos", False)})
    memory = given.get("memory", FamiliesRequest.memory)
    if not memory > 0:
        raise UsageError(f"{option('memory')} {memory:g}: more than 0 GiB")
    request = FamiliesRequest(
        Machine(model, database, given.get("device", "auto"), given.get("dtype", "auto")),
        texts,
        FamilySettings(**settings),
        float(memory),
        bool(given.get("force")),
    )
    request.settings.check()
    return request
