"""What `ablate` and its like are asked for, from options by their names to the job's request.

The command line and `Database.ablate` come here with the same names: those of the options, with
underscores, and `class_` and `set_` for the two that are words of Python.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Final

from neurondb.contracts.ablate import AblationRequest
from neurondb.contracts.inputs import NeuronSelection, SelectionKind, TextsRequest
from neurondb.errors import UsageError
from neurondb.interventions import EVERY_CONDITION, Treatment, expand_conditions
from neurondb.reading.models import find_model, open_readonly
from neurondb.spelling import option

SELECTIONS: Final[dict[str, SelectionKind]] = {
    "where": "where",
    "sql": "sql",
    "neurons": "neurons",
    "class_": "class",
    "set_": "set",
}
"""Option → the way in which it says which neurons."""
TEXTS: Final = (
    *("dataset", "max_texts", "max_tokens", "sample_tokens", "seed", "max_len", "skip_bos"),
)
TREATMENT: Final = ("mode", "condition", "hook", "value")
SETTINGS: Final = ("baseline", "seed", "save_tokens", "device", "executor", "dtype", "force")
"""Options that an `AblationRequest` has under the same name."""


def make_ablation_request(
    model: str, database: str | None, options: Mapping[str, Any]
) -> AblationRequest:
    """Return the request that options describe; an option that is missing or None is its default.

    Raises:
        UsageError: when they name no neurons or no texts, or make no sense together.
        TypeError: when one is called as no option is.
    """
    options_known = {*SELECTIONS, "draw", "save_set", *TEXTS, *TREATMENT, *SETTINGS}
    for name in options:
        if name not in options_known:
            raise TypeError(
                f"ablate has no option {name!r}; it has {', '.join(sorted(options_known))}"
            )
    mode, *treatment_options = (options.get(name) for name in TREATMENT)
    treatment = Treatment.parse(mode or "zero", *treatment_options)
    selection = choose_neurons(options)
    if selection is None:
        raise UsageError(f"say which neurons by one of {name_selections()}")
    texts = make_texts_request(options)
    return AblationRequest(
        model,
        selection,
        texts,
        treatment,
        name=options.get("save_set"),
        database=database,
        **_pick_given(options, SETTINGS),
    )


def make_treatments(
    modes: Sequence[str], conditions: Sequence[str], model: str, database: str | None
) -> tuple[Treatment, ...]:
    """Return a treatment for each mode and condition; `all` conditions are those of the model.

    Raises:
        UsageError: when a mode or condition is unknown.
        DatabaseError: when the model has to be looked up, and is not there.
    """
    for mode in modes:
        Treatment.parse(mode, None, None, None)  # said before a database is looked for
    gated = True
    if EVERY_CONDITION in conditions:
        with open_readonly(database) as connection:
            gated = find_model(connection, model).gated
    return tuple(
        Treatment.parse(mode, condition, None, None)
        for mode, condition in product(modes, expand_conditions(conditions, gated=gated))
    )


def choose_neurons(options: Mapping[str, Any]) -> NeuronSelection | None:
    """Return which neurons options say; None when they say none.

    Raises:
        UsageError: when they say so twice, or give a draw of something else than a class.
    """
    draw = options.get("draw")
    selections = [
        NeuronSelection(kind, options[name], draw)
        for name, kind in SELECTIONS.items()
        if options.get(name) is not None
    ]
    if len(selections) > 1:
        raise UsageError(f"say which neurons by only one of {name_selections()}")
    if draw is not None and (not selections or selections[0].kind != "class"):
        raise UsageError(
            f"{option('draw')} takes so many of {option('class_')}; a list or query says its own "
            "number"
        )
    return selections[0] if selections else None


def name_selections() -> str:
    """Return the parameters that say which neurons."""
    return ", ".join(option(name) for name in SELECTIONS)


def make_texts_request(options: Mapping[str, Any]) -> TextsRequest:
    """Return the texts that options name.

    Raises:
        UsageError: when they name none.
    """
    if options.get("dataset") is None:
        raise UsageError(
            f"say which texts by {option('dataset')}: a file, or the name of a stored dataset"
        )
    return TextsRequest(**_pick_given(options, TEXTS))


def _pick_given(options: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: options[name] for name in names if options.get(name) is not None}
