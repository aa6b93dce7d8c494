"""The published figures that ship with the package, and which model of them a stored one is.

`data/class_counts.json` has the read-write classes of every layer of 12 gated and 24 ungated
models, `data/figures.json` everything else; both name source, commit and licence. They are figures
of tables, typed or converted, never texts.
"""

import json
import re
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

from neurondb.errors import ModelError, UsageError
from neurondb.known_models import find_known_model
from neurondb.reading.models import Model
from neurondb.spelling import option

_CACHE_FOLDER: Final = re.compile(r"models--(?P<owner>[^/]+?)--(?P<name>[^/]+)/snapshots/")
"""Where the hub's own cache keeps a checkpoint: the repository is in the path."""


class Shape(NamedTuple):
    """What tells models apart at a glance: layers, neurons a layer, and whether they have gates."""

    n_layers: int
    d_mlp: int
    gated: bool

    def __str__(self) -> str:
        """Return the shape as messages have it."""
        kind = "gated" if self.gated else "ungated"
        return f"{self.n_layers} layers of {self.d_mlp:,} {kind} neurons"


class ClassTable(NamedTuple):
    """Published counts of a model.

    Attributes:
        classes: names of the classes, in the order of the counts.
        counts: for each layer, how many neurons of each class.
    """

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@cache
def read_figures() -> dict[str, Any]:
    """Return the published figures other than counts, by kind: see `data/figures.json`."""
    figures: dict[str, Any] = _read("figures.json")
    return figures


@cache
def read_class_source() -> str:
    """Return where the class counts come from, as reports cite it."""
    counts = _read("class_counts.json")
    return f"{counts['paper']}, tables of {counts['source']} at {counts['commit'][:7]}"


@cache
def read_class_tables() -> dict[str, ClassTable]:
    """Return model → its published class counts, by the name of `canonicalise_name`."""
    counts = _read("class_counts.json")
    return {
        canonicalise_name(name): ClassTable(
            tuple(counts["classes"][kind]), tuple(map(tuple, table))
        )
        for kind, of_kind in counts["counts_by_layer"].items()
        for name, table in of_kind.items()
    }


def _read(name: str) -> dict[str, Any]:
    text = (files("neurondb.published") / "data" / name).read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def canonicalise_name(name: str) -> str:
    """Return the slug of a model of any of its names; of an unknown model, the name itself."""
    try:
        return find_known_model(name).slug
    except ModelError:
        return name.strip().lower()


@cache
def list_published() -> dict[str, Shape]:
    """Return model → its shape, of all models that the shipped figures are about."""
    shapes = {
        name: Shape(len(table.counts), sum(table.counts[0]), len(table.classes) > 3)
        for name, table in read_class_tables().items()
    }
    kept = read_figures()["kept_top_tokens"]
    before, after = (canonicalise_name(kept[side]) for side in ("before", "after"))
    return shapes | {after: shapes[before]}


def identify_model(model: Model, given: str | None = None) -> str | None:
    """Return which model of the literature a stored one is; None where it is in no table.

    It is looked for by the stored name, the hub id that it was read from, and the directory's name
    or the repository in the hub's cache; a model of another shape is never taken for one. Weights
    are not looked at: that they are those of the paper is what the comparison shows.

    Args:
        model: the stored model.
        given: a name that its user gives it: a slug, an alias or a hub id.

    Raises:
        UsageError: when no table has a model of the given name.
        ModelError: when the model of that name has another shape.
    """
    shape = Shape(model.n_layers, model.d_mlp, model.gated)
    published = list_published()
    if given is None:
        return next((name for name in _guess_names(model) if published.get(name) == shape), None)
    name = canonicalise_name(given)
    if name not in published:
        raise UsageError(_explain_unknown(given))
    if published[name] != shape:
        raise ModelError(
            f"{option('as_', given)}: that model has {published[name]}, but {model.name} has "
            f"{shape}"
        )
    return name


def _guess_names(model: Model) -> list[str]:
    names = [canonicalise_name(model.name), canonicalise_name(model.source)]
    cached = _CACHE_FOLDER.search(model.source)
    if cached is not None:
        names.append(canonicalise_name(f"{cached['owner']}/{cached['name']}"))
    folder = model.source.rstrip("/").rsplit("/", 1)[-1].lower()
    names += [
        canonicalise_name(hub_id)
        for hub_id in _list_hub_ids()
        if hub_id.rsplit("/", 1)[-1].lower() == folder
    ]
    return names


@cache
def _list_hub_ids() -> tuple[str, ...]:
    counts = _read("class_counts.json")["counts_by_layer"]
    return tuple(name for of_kind in counts.values() for name in of_kind)


def _explain_unknown(given: str) -> str:
    names = list(list_published())
    close = get_close_matches(canonicalise_name(given), names, n=3, cutoff=0.5)
    guess = f"did you mean {' or '.join(close)}? " if close else ""
    return f"no published table has a model {given!r}; {guess}They have {', '.join(sorted(names))}"
