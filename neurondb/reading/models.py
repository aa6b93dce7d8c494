"""Open a database, list the models in it, and find the one that a user means.

A model owns `n_layers` · `d_mlp` consecutive neuron ids, in order of layer and neuron; `Model`
turns them into places and names, `find_neuron_id` turns places into ids. A mixture of experts whose
layers differ in width leaves ids unused at the end of the narrow ones (`neurondb.experts`).
"""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, select

from neurondb.database import format_url, open_existing, translate_errors
from neurondb.errors import UnknownNameError
from neurondb.experts import Experts, decode_experts
from neurondb.formatting.numbers import format_count
from neurondb.neurons import NeuronPlace
from neurondb.schema import tables

NAMES_LISTED: Final = 20
"""How many names an error message lists at most."""


@contextmanager
def open_readonly(location: str | None = None) -> Iterator[Connection]:
    """Open a connection that cannot write to a database, and close it afterwards.

    Args:
        location: a path or a URL; None is the default database.

    Raises:
        DatabaseError: when there is no database, when it is of an older or a newer schema or no
            database of this program, or when reading it fails.
    """
    engine = open_existing(location)
    try:
        with translate_errors(format_url(engine.url)), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@dataclass(frozen=True)
class Model:
    """A model as its row of the table `models` describes it.

    Attributes:
        source: the hub id or the directory that it was read from.
        gated: whether its MLP has gate vectors, as in SwiGLU.
        activation: name of the activation function.
        first_neuron_id: id of neuron 0.0; the others follow in order of layer and neuron.
        threshold: the τ at which `neuron_overview` shows its read-write classes.
        dataset_id: the dataset whose activations `neuron_overview` shows.
        n_unused_rows: rows of U and E that no token has; None where that is not known.
        quantisation: how a GGUF file stores the weights; None for a model in hub format.
        n_experts: routed experts of a layer; None, as all that follow, for a dense model.
        d_expert: neurons of each.
        experts_per_token: routed experts that a token passes through.
        d_shared_expert: neurons of the shared expert.
        dense_layers: layers that are not divided, as JSON.
        d_dense: neurons of each of these.
    """

    model_id: int
    name: str
    source: str
    revision: str | None
    architecture: str
    gated: bool
    activation: str
    n_layers: int
    d_model: int
    d_mlp: int
    d_vocab: int
    first_neuron_id: int
    threshold: float
    dataset_id: int | None
    n_unused_rows: int | None = None
    quantisation: str | None = None
    n_experts: int | None = None
    d_expert: int | None = None
    experts_per_token: int | None = None
    d_shared_expert: int | None = None
    dense_layers: str | None = None
    d_dense: int | None = None

    @property
    def n_tokens(self) -> int:
        """Number of tokens: the rows of U and E without those known to belong to no token."""
        return self.d_vocab - (self.n_unused_rows or 0)

    @property
    def n_neurons(self) -> int:
        """Number of neurons in all layers."""
        if self.experts is None:
            return self.n_layers * self.d_mlp
        return sum(map(self.experts.count_neurons, range(self.n_layers)))

    @property
    def n_ids(self) -> int:
        """Number of neuron ids that the model owns, be they neurons' or not."""
        return self.n_layers * self.d_mlp

    @property
    def experts(self) -> Experts | None:
        """How its layers are divided into experts; None for a dense model."""
        return decode_experts(
            self.n_experts,
            self.d_expert,
            self.experts_per_token,
            self.d_shared_expert,
            self.dense_layers,
            self.d_dense,
        )

    def describe_layers(self) -> str:
        """Return how many layers it has, and of what, in words."""
        layers = format_count(self.n_layers, "layer")
        experts = self.experts
        return f"{layers} of {f'{self.d_mlp:,} neurons' if experts is None else experts.describe()}"

    def count_neurons(self, layer: int) -> int:
        """Return how many neurons a layer has."""
        return self.d_mlp if self.experts is None else self.experts.count_neurons(layer)

    def locate(self, neuron_id: int) -> tuple[int, int]:
        """Return the layer of a neuron and its number in that layer."""
        layer, neuron = divmod(neuron_id - self.first_neuron_id, self.d_mlp)
        return layer, neuron

    def find_place(self, neuron_id: int) -> NeuronPlace:
        """Return a neuron's place as its name has it: with its expert where it has one."""
        layer, neuron = self.locate(neuron_id)
        found = None if self.experts is None else self.experts.locate(layer, neuron)
        if found is None:
            return NeuronPlace(layer, neuron)
        return NeuronPlace(layer, found.neuron, found.expert)

    def name_neuron(self, neuron_id: int) -> str:
        """Return a neuron as `layer.neuron`, or `layer.expert.neuron`, all from 0."""
        return self.find_place(neuron_id).name

    def name_place(self, layer: int, neuron: int) -> str:
        """Return the name of the neuron with a number in a layer."""
        return self.name_neuron(self.first_neuron_id + layer * self.d_mlp + neuron)


@dataclass(frozen=True)
class ModelSummary:
    """A model, the dataset that `neuron_overview` shows for it, and the stages it has completed."""

    model: Model
    dataset: str | None
    stages: tuple[str, ...]


def explain_missing_token(model: Model, token_id: int) -> str:
    """Return the reason why a model whose tokens are stored has no token with this id."""
    if token_id < model.d_vocab:
        return "that row of its embedding is no token's"
    return f"its ids are 0 to {model.d_vocab - 1}"


MODEL_COLUMNS: Final = tuple(tables.models.c[field.name] for field in fields(Model))
"""The columns of the table `models` that make up a `Model`, in its order."""


def find_neuron_id(model: Model, layer: int, neuron: int, expert: int | None = None) -> int:
    """Return the id of a neuron, which follows from its place in the model.

    `neuron` is its number in the layer or, with an `expert`, among that expert's neurons.

    Raises:
        UnknownNameError: when the model has no such layer, expert or neuron.
    """
    number: int | None = None
    if 0 <= layer < model.n_layers:
        if expert is None:
            number = neuron if 0 <= neuron < model.count_neurons(layer) else None
        elif model.experts is not None:
            number = model.experts.find_number(layer, expert, neuron)
    if number is None:
        asked = NeuronPlace(layer, neuron, expert).name
        raise UnknownNameError(f"{model.name} has no neuron {asked}: {describe_sizes(model)}")
    return model.first_neuron_id + layer * model.d_mlp + number


def locate_place(model: Model, place: NeuronPlace) -> NeuronPlace:
    """Return the place of a neuron with its number in the whole layer, however it was written.

    Raises:
        UnknownNameError: when the model has no such layer, expert or neuron.
    """
    return NeuronPlace(*model.locate(find_neuron_id(model, *place)))


def name_places(model: Model, places: Iterable[NeuronPlace]) -> tuple[NeuronPlace, ...]:
    """Return places as the neurons' names have them, with their experts, however they were written.

    Raises:
        UnknownNameError: when the model has no such layer, expert or neuron.
    """
    return tuple(model.find_place(find_neuron_id(model, *place)) for place in places)


def has_place(model: Model, place: NeuronPlace) -> bool:
    """Tell whether a model has a neuron at a place."""
    with suppress(UnknownNameError):
        find_neuron_id(model, *place)
        return True
    return False


def describe_named_sizes(model: Model) -> str:
    """Return `describe_sizes` behind the model's name, where several models are spoken of."""
    return f"{model.name}: {describe_sizes(model)}"


def describe_sizes(model: Model) -> str:
    """Return which layers, experts and neurons a model has, in words."""
    layers = f"its layers are 0 to {model.n_layers - 1}"
    experts = model.experts
    if experts is None:
        return f"{layers}, its neurons 0 to {model.d_mlp - 1}"
    words = f"{layers}, their experts 0 to {experts.n_routed - 1} of {experts.width:,} neurons"
    if experts.shared_width:
        words += f", the shared expert {experts.n_routed} of {experts.shared_width:,}"
    if experts.dense_layers:
        dense = ", ".join(map(str, experts.dense_layers))
        words += f"; layers without experts, of {experts.dense_width:,} neurons: {dense}"
    return words


def match_neurons(
    column: ColumnElement[Any], model: Model, layer: int | None = None
) -> ColumnElement[bool]:
    """Return the SQL condition that a column of neuron ids lies in a model, or in one layer."""
    first = model.first_neuron_id
    if layer is not None:
        first += layer * model.d_mlp
    end = first + (model.n_ids if layer is None else model.d_mlp)
    return (column >= first) & (column < end)


def find_model(connection: Connection, name: str) -> Model:
    """Return the model of this name, or the one that was read from this hub id or directory.

    Where nothing matches exactly, letter case is ignored, and a directory is found by another path
    to it too.

    Raises:
        UnknownNameError: when no model matches, or several do; the message lists names to choose
            from, the closest one first.
    """
    m = tables.models.c
    conditions = (
        m.name == name,
        m.source == name,
        func.lower(m.name) == name.lower(),
        func.lower(m.source) == name.lower(),
        m.source == _resolve_directory(name),
    )
    matches: list[Model] = []
    for condition in conditions:
        rows = connection.execute(select(*MODEL_COLUMNS).where(condition).order_by(m.name))
        matches = [Model(*row) for row in rows]
        if matches:
            break
    if len(matches) == 1:
        return matches[0]
    if matches:
        names = join_names([model.name for model in matches])
        raise UnknownNameError(f"{name!r} means {len(matches)} models; name one: {names}")
    raise UnknownNameError(_explain_unknown_model(connection, name))


def _resolve_directory(name: str) -> str | None:
    """Return a directory the way `ingest` stores it as a source: absolute, links resolved."""
    try:
        return str(Path(name).expanduser().resolve())
    except (
        OSError,
        ValueError,
        RuntimeError,
    ):  # no path: it has NUL, loops, or names an unknown user's home
        return None


def _explain_unknown_model(connection: Connection, name: str) -> str:
    m = tables.models.c
    names = [row.name for row in connection.execute(select(m.name).order_by(m.name))]
    if not names:
        return f"no model {name!r}: this database has none yet; `neurondb ingest MODEL` adds one"
    close = difflib.get_close_matches(name.lower(), names, n=1)
    hint = f"did you mean {close[0]!r}? It has" if close else "it has"
    return f"no model {name!r} in this database; {hint}: {join_names(names)}"


def join_names(names: list[str]) -> str:
    """Return names in one line: the first `NAMES_LISTED`, and how many more there are."""
    n_more = len(names) - NAMES_LISTED
    return ", ".join(names[:NAMES_LISTED]) + (f" and {n_more} more" if n_more > 0 else "")


def list_models(connection: Connection) -> tuple[ModelSummary, ...]:
    """Return every model of the database, sorted by name."""
    d, m = tables.dataset_rows.c, tables.models.c
    rows = connection.execute(
        select(*MODEL_COLUMNS, d.name.label("dataset"))
        .outerjoin_from(tables.models, tables.dataset_rows, d.dataset_id == m.dataset_id)
        .order_by(m.name)
    )
    stages = _read_complete_stages(connection)
    return tuple(
        ModelSummary(Model(*row[:-1]), row.dataset, tuple(stages.get(row.model_id, ())))
        for row in rows
    )


def _read_complete_stages(connection: Connection) -> dict[int, list[str]]:
    """Return model id → its complete stages, in the order in which they were begun."""
    s, m = tables.ingest_steps.c, tables.models.c
    layers = func.count(s.layer.distinct()).filter(s.layer >= 0)
    rows = connection.execute(
        select(s.model_id, s.stage)
        .join_from(tables.ingest_steps, tables.models, m.model_id == s.model_id)
        .group_by(s.model_id, s.stage, s.dataset_id, m.n_layers)
        # A stage without a step of any layer is one of the whole model.
        .having(layers.in_((0, m.n_layers)))
        .order_by(func.min(s.step_id))
    )
    stages: dict[int, list[str]] = {}
    for row in rows:
        of_model = stages.setdefault(row.model_id, [])
        if row.stage not in of_model:  # done on several datasets
            of_model.append(row.stage)
    return stages
