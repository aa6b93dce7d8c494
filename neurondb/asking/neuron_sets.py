"""Which neurons of a model an expression, a query, a list, a class or a stored set means."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, select

from neurondb.asking.compiling import Shape, compile_find
from neurondb.asking.finding import understood
from neurondb.asking.spelling import did_you_mean, shown
from neurondb.asking.statements import run_sql
from neurondb.asking.terms import And, OneOf
from neurondb.asking.vocabulary import ONE_CLASS, matching, split_words
from neurondb.database import called, translated
from neurondb.errors import UnknownNameError, UsageError
from neurondb.jobs import NeuronSelection
from neurondb.neurons import match_neuron, parse_neurons
from neurondb.reading.models import Model
from neurondb.records import NeuronSetRecord
from neurondb.schema import tables
from neurondb.taxonomy import CLASSES, ORTHOGONAL

Ids = NDArray[np.int64]


class NeuronSet(NamedTuple):
    """Neurons of one model, and what a baseline must know of them.

    Attributes:
        definition: The SQL, expression or list that made it.
        neuron_ids: Ascending, each once.
        class_id: The class that it was asked for by; None for other sets.
        seed: Of a set drawn at random.
        name: Under which it is stored.
    """

    definition: str
    neuron_ids: Ids
    class_id: int | None = None
    seed: int | None = None
    name: str | None = None

    @property
    def record(self) -> NeuronSetRecord:
        """As it is stored."""
        return NeuronSetRecord(self.definition, self.neuron_ids, self.name)


def resolve(engine: Engine, model: Model, selection: NeuronSelection, seed: int = 0) -> NeuronSet:
    """Return the neurons of a model that are meant.

    Args:
        engine: The database.
        model: Whose neurons.
        selection: What is meant.
        seed: For so many neurons of a class.

    Raises:
        UnknownNameError: when a name is not there, or no neuron is meant.
        ExpressionError: when the expression cannot be understood.
        DatabaseError: when the query cannot be run, or would change something.
        UsageError: when a list or a query's columns name no neurons.
    """
    found = _KINDS[selection.kind](engine, model, selection, seed)
    if not len(found.neuron_ids):
        raise UnknownNameError(f"no neuron of {model.name} fits {shown(selection.text)}")
    return found


def _by_expression(engine: Engine, model: Model, asked: NeuronSelection, _seed: int) -> NeuronSet:
    meant = And((OneOf("model", (model.name,)), understood(engine, asked.text)))
    rows = run_sql(engine, *compile_find(meant, Shape(("neuron_id",)))).rows
    return NeuronSet(asked.text, _ids(row[0] for row in rows))


def _by_query(engine: Engine, model: Model, asked: NeuronSelection, _seed: int) -> NeuronSet:
    columns, found = run_sql(engine, asked.text)
    rows = list(found)  # read to the end, which closes the statement, whatever is wrong with them
    read = _reader(columns, model)
    return NeuronSet(asked.text, _ids(read(dict(zip(columns, row, strict=True))) for row in rows))


def _reader(columns: Sequence[str], model: Model) -> Callable[[dict[str, Any]], int]:
    """Return what finds the neuron in a row, by the first of three ways that the columns allow."""

    def of_model(row: dict[str, Any]) -> None:
        if row.get("model", model.name) != model.name:
            raise UsageError(
                f"the query also gives neurons of {shown(str(row['model']))}; add "
                f"WHERE model = '{model.name}'"
            )

    def by_id(row: dict[str, Any]) -> int:
        of_model(row)
        return _checked_id(model, row["neuron_id"])

    def by_place(row: dict[str, Any]) -> int:
        of_model(row)
        return neuron_id(model, row["layer"], row["neuron"])

    def by_name(row: dict[str, Any]) -> int:
        of_model(row)
        return named_neuron(model, str(row["name"]))

    for needed, reader in (
        (("neuron_id",), by_id),
        (("layer", "neuron"), by_place),
        (("name",), by_name),
    ):
        if set(needed) <= set(columns):
            return reader
    raise UsageError(
        f"the query gives {', '.join(columns)}; neurons are told by a column neuron_id, by layer "
        "and neuron, or by name"
    )


def _by_list(_engine: Engine, model: Model, asked: NeuronSelection, _seed: int) -> NeuronSet:
    places = parse_neurons(asked.text)
    ids = _ids(neuron_id(model, *place) for place in places)
    return NeuronSet(",".join(place.name for place in places), ids)


def _by_class(engine: Engine, model: Model, asked: NeuronSelection, seed: int) -> NeuronSet:
    class_id = class_called(asked.text)
    name = CLASSES[class_id].name
    with translated(called(engine.url)), engine.connect() as connection:
        of_class = np.flatnonzero(classes(connection, model) == class_id)
    if asked.count is None:
        return NeuronSet(f"class='{name}'", of_class + model.first_neuron_id, class_id)
    if asked.count > len(of_class):
        raise UsageError(
            f"{model.name} has {len(of_class):,} neurons of class {name}, not {asked.count:,}"
        )
    drawn = np.random.default_rng(seed).choice(of_class, asked.count, replace=False)
    definition = f"{asked.count} of class='{name}', seed {seed}"
    return NeuronSet(definition, np.sort(drawn) + model.first_neuron_id, class_id, seed)


def _by_set(engine: Engine, model: Model, asked: NeuronSelection, _seed: int) -> NeuronSet:
    s, m = tables.neuron_sets.c, tables.neuron_set_members.c
    with translated(called(engine.url)), engine.connect() as connection:
        named = select(s.set_id, s.name, s.definition)
        found = connection.execute(named.where(s.name == asked.text)).first()
        if found is None:
            names = connection.scalars(select(s.name).where(s.name.is_not(None))).all()
            raise UnknownNameError(
                f"no set {shown(asked.text)} in this database{did_you_mean(asked.text, names)}"
            )
        members = connection.scalars(select(m.neuron_id).where(m.set_id == found.set_id)).all()
    ids = _ids(members)
    if not ((ids >= model.first_neuron_id) & (ids < model.first_neuron_id + model.n_neurons)).all():
        raise UsageError(f"the set {shown(asked.text)} is of neurons of another model")
    return NeuronSet(found.definition, ids, name=found.name)


_KINDS: Final[dict[str, Callable[[Engine, Model, NeuronSelection, int], NeuronSet]]] = {
    "where": _by_expression,
    "sql": _by_query,
    "neurons": _by_list,
    "class": _by_class,
    "set": _by_set,
}


def class_called(text: str) -> int:
    """Return the id of a class by either name, or an abbreviation like `cond-weak`.

    Raises:
        UnknownNameError: when there is none, or several.
    """
    names = {one.name: one.class_id for one in CLASSES}
    fitting = {ONE_CLASS[entry] for entry in matching(split_words(text), ONE_CLASS)} & set(names)
    if len(fitting) == 1:
        return names[str(fitting.pop())]
    if fitting:
        listed = ", ".join(sorted(map(str, fitting)))
        raise UnknownNameError(f"{shown(text)} could be several classes: {listed}")
    raise UnknownNameError(f"no class {shown(text)}{did_you_mean(text, map(str, ONE_CLASS))}")


def named_neuron(model: Model, name: str) -> int:
    """Return the id of `layer.neuron`.

    Raises:
        UsageError: when it is not written so.
        UnknownNameError: when the model has no such neuron.
    """
    place = match_neuron(name)
    if place is None:
        raise UsageError(f"{shown(name)} is not LAYER.NEURON, like 31.9634")
    return neuron_id(model, *place)


def neuron_id(model: Model, layer: object, neuron: object) -> int:
    """Return a neuron's id; UnknownNameError when the model has no such neuron."""
    if (
        not (isinstance(layer, int) and isinstance(neuron, int))
        or not 0 <= layer < model.n_layers
        or not 0 <= neuron < model.d_mlp
    ):
        raise UnknownNameError(
            f"{model.name} has no neuron {layer}.{neuron}: its layers are 0 to "
            f"{model.n_layers - 1}, each of the neurons 0 to {model.d_mlp - 1}"
        )
    return model.first_neuron_id + layer * model.d_mlp + neuron


def _checked_id(model: Model, neuron: object) -> int:
    end = model.first_neuron_id + model.n_neurons
    if not isinstance(neuron, int) or not model.first_neuron_id <= neuron < end:
        raise UsageError(
            f"neuron_id {neuron} is not one of {model.name}'s ({model.first_neuron_id} to "
            f"{end - 1}); add WHERE model = '{model.name}'"
        )
    return neuron


def _ids(found: Iterable[int]) -> Ids:
    return np.unique(np.fromiter(found, dtype=np.int64))


def classes(connection: Connection, model: Model) -> NDArray[np.int64]:
    """Return the class id of every neuron of a model at the τ that it shows; −1 for none."""
    c = tables.classes.c
    of_model = c.neuron_id.between(
        model.first_neuron_id, model.first_neuron_id + model.n_neurons - 1
    )
    rows = connection.execute(
        select(c.neuron_id, c.class_id).where(of_model, c.threshold == model.threshold)
    ).all()
    found = np.full(model.n_neurons, -1, dtype=np.int64)
    if rows:
        ids, class_ids = np.array([tuple(row) for row in rows], dtype=np.int64).T
        found[ids - model.first_neuron_id] = class_ids
    return found


def baseline(connection: Connection, model: Model, of: NeuronSet, seed: int) -> NeuronSet:
    """Draw as many random neurons of the same layers, not in a set and not of its class.

    The class is that which the set was asked for by. Of other sets it is each that a member has;
    but where an orthogonal output neuron is among them, which are nearly all of a model, the set is
    not one of classes, and only its members are left out. In a layer where too few remain all of
    them are taken (METHODS §6).

    Raises:
        UnknownNameError: when none remains in any of the layers.
    """
    class_of = classes(connection, model)
    members = of.neuron_ids - model.first_neuron_id
    excluded = _excluded(of, np.unique(class_of[members]))
    free = ~np.isin(class_of, excluded)
    free[members] = False
    random = np.random.default_rng(seed)
    drawn = []
    for layer, wanted in zip(*np.unique(members // model.d_mlp, return_counts=True), strict=True):
        first = layer * model.d_mlp
        left = first + np.flatnonzero(free[first : first + model.d_mlp])
        drawn.append(random.choice(left, min(wanted, len(left)), replace=False))
    ids: Ids = np.sort(np.concatenate(drawn)) + model.first_neuron_id
    if not len(ids):
        raise UnknownNameError(
            f"no baseline for {shown(of.definition)}: its layers have no other neuron"
        )
    without = "".join(f", not of class {CLASSES[i].name}" for i in excluded if i < len(CLASSES))
    definition = f"baseline of {of.definition}: the same layers{without}; seed {seed}"
    return NeuronSet(definition, ids, seed=seed)


def _excluded(of: NeuronSet, present: NDArray[np.int64]) -> list[int]:
    if of.class_id is not None:
        return [of.class_id]
    return [] if ORTHOGONAL in present else [int(class_id) for class_id in present if class_id >= 0]
