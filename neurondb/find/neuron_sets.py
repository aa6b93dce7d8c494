"""Sets of neurons of one model, for jobs to work on, and random baselines to compare them with.

A set is given as an expression, a query, a list, a class, or the name of a stored set.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, select

from neurondb.contracts.ablate import NeuronSetRecord
from neurondb.contracts.inputs import NeuronSelection
from neurondb.database import format_url, translate_errors
from neurondb.errors import UnknownNameError, UsageError
from neurondb.find.columns import ResultShape
from neurondb.find.compiler import compile_find
from neurondb.find.search import read_expression
from neurondb.find.terms import And, OneOf
from neurondb.name_matching import CLASS_NAMES, match_names, quote_word, split_words, suggest_names
from neurondb.neurons import parse_neuron, parse_neurons
from neurondb.reading.models import Model, find_neuron_id
from neurondb.schema import tables
from neurondb.sql import run_sql
from neurondb.taxonomy import CLASSES, ORTHOGONAL

Ids = NDArray[np.int64]


class NeuronSet(NamedTuple):
    """Neurons of one model, and what is needed to draw a baseline for them.

    Attributes:
        definition: The SQL, expression or list that the set was made of.
        neuron_ids: The ids of the neurons, ascending, each once.
        class_id: The class that the set was given by; None for other sets.
        seed: The seed of a set that was drawn at random.
        name: The name under which the set is stored.
    """

    definition: str
    neuron_ids: Ids
    class_id: int | None = None
    seed: int | None = None
    name: str | None = None

    @property
    def record(self) -> NeuronSetRecord:
        """The set as it is stored."""
        return NeuronSetRecord(self.definition, self.neuron_ids, self.name)


def select_neurons(
    engine: Engine, model: Model, selection: NeuronSelection, seed: int = 0
) -> NeuronSet:
    """Return the neurons of a model that a selection means.

    Args:
        engine: The database.
        model: The model whose neurons are selected.
        selection: What is meant, and in which of five ways it is given.
        seed: The seed for drawing a number of neurons of a class.

    Raises:
        UnknownNameError: when a name is not there, or no neuron fits.
        ExpressionError: when the expression cannot be understood.
        DatabaseError: when the query cannot be run, or would change something.
        UsageError: when a list or a query's columns name no neurons.
    """
    selected = _SELECTORS[selection.kind](engine, model, selection, seed)
    if not len(selected.neuron_ids):
        raise UnknownNameError(f"no neuron of {model.name} fits {quote_word(selection.text)}")
    return selected


def _select_by_expression(
    engine: Engine, model: Model, selection: NeuronSelection, _seed: int
) -> NeuronSet:
    expression = And((OneOf("model", (model.name,)), read_expression(engine, selection.text)))
    rows = run_sql(engine, *compile_find(expression, ResultShape(("neuron_id",)))).rows
    return NeuronSet(selection.text, _sort_ids(row[0] for row in rows))


def _select_by_query(
    engine: Engine, model: Model, selection: NeuronSelection, _seed: int
) -> NeuronSet:
    columns, unread = run_sql(engine, selection.text)
    rows = list(unread)  # read to the end, which closes the statement, whatever is wrong with them
    read_id = _choose_reader(columns, model)
    return NeuronSet(
        selection.text, _sort_ids(read_id(dict(zip(columns, row, strict=True))) for row in rows)
    )


def _choose_reader(columns: Sequence[str], model: Model) -> Callable[[dict[str, Any]], int]:
    """Return a function from a row to the id of its neuron.

    It reads the first of these that the columns have: neuron_id; layer and neuron; name.
    """

    def check_model(row: dict[str, Any]) -> None:
        if row.get("model", model.name) != model.name:
            raise UnknownNameError(
                f"the query also gives neurons of {quote_word(str(row['model']))}; add "
                f"WHERE model = '{model.name}'"
            )

    def by_id(row: dict[str, Any]) -> int:
        check_model(row)
        return _check_id(model, row["neuron_id"])

    def by_place(row: dict[str, Any]) -> int:
        check_model(row)
        return _check_place(model, row["layer"], row["neuron"])

    def by_name(row: dict[str, Any]) -> int:
        check_model(row)
        return find_neuron_id(model, *parse_neuron(str(row["name"])))

    for required, reader in (
        (("neuron_id",), by_id),
        (("layer", "neuron"), by_place),
        (("name",), by_name),
    ):
        if set(required) <= set(columns):
            return reader
    raise UsageError(
        f"the query gives {', '.join(columns)}; neurons are told by a column neuron_id, by layer "
        "and neuron, or by name"
    )


def _select_by_list(
    _engine: Engine, model: Model, selection: NeuronSelection, _seed: int
) -> NeuronSet:
    places = parse_neurons(selection.text)
    ids = _sort_ids(find_neuron_id(model, *place) for place in places)
    return NeuronSet(",".join(place.name for place in places), ids)


def _select_by_class(
    engine: Engine, model: Model, selection: NeuronSelection, seed: int
) -> NeuronSet:
    class_id = find_class(selection.text)
    name = CLASSES[class_id].name
    with translate_errors(format_url(engine.url)), engine.connect() as connection:
        of_class = np.flatnonzero(load_class_ids(connection, model) == class_id)
    if selection.count is None:
        return NeuronSet(f"class='{name}'", of_class + model.first_neuron_id, class_id)
    if selection.count > len(of_class):
        raise UnknownNameError(
            f"{model.name} has {len(of_class):,} neurons of class {name}, not {selection.count:,}"
        )
    sample = np.random.default_rng(seed).choice(of_class, selection.count, replace=False)
    definition = f"{selection.count} of class='{name}', seed {seed}"
    return NeuronSet(definition, np.sort(sample) + model.first_neuron_id, class_id, seed)


def _select_by_set(
    engine: Engine, model: Model, selection: NeuronSelection, _seed: int
) -> NeuronSet:
    s, m = tables.neuron_sets.c, tables.neuron_set_members.c
    with translate_errors(format_url(engine.url)), engine.connect() as connection:
        query = select(s.set_id, s.name, s.definition)
        set_row = connection.execute(query.where(s.name == selection.text)).first()
        if set_row is None:
            names = connection.scalars(select(s.name).where(s.name.is_not(None))).all()
            hint = suggest_names(selection.text, names)
            raise UnknownNameError(f"no set {quote_word(selection.text)} in this database{hint}")
        members = connection.scalars(select(m.neuron_id).where(m.set_id == set_row.set_id)).all()
    ids = _sort_ids(members)
    if not ((ids >= model.first_neuron_id) & (ids < model.first_neuron_id + model.n_ids)).all():
        raise UnknownNameError(
            f"the set {quote_word(selection.text)} is of neurons of another model"
        )
    return NeuronSet(set_row.definition, ids, name=set_row.name)


_SELECTORS: Final[dict[str, Callable[[Engine, Model, NeuronSelection, int], NeuronSet]]] = {
    "where": _select_by_expression,
    "sql": _select_by_query,
    "neurons": _select_by_list,
    "class": _select_by_class,
    "set": _select_by_set,
}


def find_class(text: str) -> int:
    """Return the id of a class given by either of its names, or an abbreviation like `cond-weak`.

    Raises:
        UsageError: when no class, or more than one, fits.
    """
    ids = {read_write_class.name: read_write_class.class_id for read_write_class in CLASSES}
    entries = match_names(split_words(text), CLASS_NAMES)
    names = {CLASS_NAMES[entry] for entry in entries} & set(ids)
    if len(names) == 1:
        return ids[names.pop()]
    if names:
        names_text = ", ".join(sorted(names))
        raise UsageError(f"{quote_word(text)} could be several classes: {names_text}")
    raise UsageError(f"no class {quote_word(text)}{suggest_names(text, CLASS_NAMES)}")


def _check_place(model: Model, layer: object, neuron: object) -> int:
    """Return the id of the neuron that a row of a query places; refuse what is no place."""
    if isinstance(layer, int) and isinstance(neuron, int):
        return find_neuron_id(model, layer, neuron)
    raise UnknownNameError(f"{model.name} has no neuron {layer}.{neuron}: both are whole numbers")


def _check_id(model: Model, neuron: object) -> int:
    """Return an id; refuse one that is not of the model."""
    end = model.first_neuron_id + model.n_ids
    if not isinstance(neuron, int) or not model.first_neuron_id <= neuron < end:
        raise UnknownNameError(
            f"neuron_id {neuron} is not one of {model.name}'s ({model.first_neuron_id} to "
            f"{end - 1}); add WHERE model = '{model.name}'"
        )
    return neuron


def _sort_ids(ids: Iterable[int]) -> Ids:
    """Return ids ascending, each once."""
    return np.unique(np.fromiter(ids, dtype=np.int64))


def load_class_ids(connection: Connection, model: Model) -> NDArray[np.int64]:
    """Return the class id of every neuron of a model, −1 for none, at the τ that the model shows.

    The array is ordered by neuron id: shape (n_layers · d_mlp,).
    """
    c = tables.classes.c
    of_model = c.neuron_id.between(model.first_neuron_id, model.first_neuron_id + model.n_ids - 1)
    rows = connection.execute(
        select(c.neuron_id, c.class_id).where(of_model, c.threshold == model.threshold)
    ).all()
    class_of = np.full(model.n_ids, -1, dtype=np.int64)
    if rows:
        ids, class_ids = np.array([tuple(row) for row in rows], dtype=np.int64).T
        class_of[ids - model.first_neuron_id] = class_ids
    return class_of


def draw_baseline(
    connection: Connection, model: Model, neuron_set: NeuronSet, seed: int
) -> NeuronSet:
    """Draw random neurons, as many of each layer as a set has, not in the set nor of its classes.

    The class is the one that the set was given by. The classes of another set are those of its
    members; but where an orthogonal output neuron is a member, as nearly all neurons of a model
    are, the set is not one of classes, and only its members are left out. In a layer where too few
    neurons remain all of them are taken (METHODS §6).

    Raises:
        UnknownNameError: when no neuron remains in any of the layers.
    """
    class_of = load_class_ids(connection, model)
    members = neuron_set.neuron_ids - model.first_neuron_id
    excluded = _find_excluded_classes(neuron_set, np.unique(class_of[members]))
    eligible = ~np.isin(class_of, excluded)
    eligible[members] = False
    random = np.random.default_rng(seed)
    draws = []
    for layer, n_wanted in zip(*np.unique(members // model.d_mlp, return_counts=True), strict=True):
        first = layer * model.d_mlp
        end = first + model.count_neurons(int(layer))
        candidates = first + np.flatnonzero(eligible[first:end])
        draws.append(random.choice(candidates, min(n_wanted, len(candidates)), replace=False))
    ids: Ids = np.sort(np.concatenate(draws)) + model.first_neuron_id
    if not len(ids):
        raise UnknownNameError(
            f"no baseline for {quote_word(neuron_set.definition)}: its layers have no other neuron"
        )
    without = "".join(f", not of class {CLASSES[i].name}" for i in excluded if i < len(CLASSES))
    definition = f"baseline of {neuron_set.definition}: the same layers{without}; seed {seed}"
    return NeuronSet(definition, ids, seed=seed)


def _find_excluded_classes(neuron_set: NeuronSet, class_ids: NDArray[np.int64]) -> list[int]:
    """Return the classes to leave out of a baseline; `class_ids` are those of the members."""
    if neuron_set.class_id is not None:
        return [neuron_set.class_id]
    return (
        []
        if ORTHOGONAL in class_ids
        else [int(class_id) for class_id in class_ids if class_id >= 0]
    )
