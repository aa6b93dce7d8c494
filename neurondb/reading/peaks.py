"""Which tokens a neuron fires on, after and before, and which neurons do so (METHODS §5).

Of the examples of hook_post in one sign case these are the tokens at the peaks, those before them
(`previous`) and those after them (`next`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, false, func, or_, select

from neurondb.reading.models import Model, match_neurons
from neurondb.schema import codes, tables
from neurondb.schema.columns import unscale
from neurondb.schema.named_neurons import named_neurons
from neurondb.schema.places import is_of_list

FIRES: Final = {"peak": "fires on", "previous": "fires after", "next": "fires before"}
"""Place of a token → what the neuron does that has it there."""
_POST: Final = codes.QUANTITIES.index("hook_post")
_LISTS: Final = {code: (case, place) for code, case, place in codes.PEAK_LISTS}


@dataclass(frozen=True)
class PeakToken:
    """A token at one place of a neuron's examples.

    Attributes:
        token: its text; None where the vocabulary is not ingested.
        count: in how many examples it stands there.
        value: hook_post at the peak of the strongest of them, with its sign.
    """

    token_id: int
    token: str | None
    count: int
    value: float | None


@dataclass(frozen=True)
class CasePeaks:
    """The tokens of one sign case's hook_post examples, the most frequent of each place first.

    Attributes:
        n_examples: how many examples there are.
        bos_only: whether every peak stands at position 0, so that the tokens say something about
            BOS and not about text.
        peak: the tokens on which the neuron fires.
        previous: the tokens after which it does.
        next: the tokens before which it does.
    """

    sign_case: str
    n_examples: int
    bos_only: bool
    peak: tuple[PeakToken, ...]
    previous: tuple[PeakToken, ...]
    next: tuple[PeakToken, ...]

    @property
    def by_place(self) -> dict[str, tuple[PeakToken, ...]]:
        """The tokens by what the neuron does: `fires on`, `fires after`, `fires before`."""
        return {words: getattr(self, place) for place, words in FIRES.items()}


def read_case_peaks(
    connection: Connection, model: Model, neuron_id: int, dataset_id: int
) -> tuple[CasePeaks, ...]:
    """Return the peak tokens of a neuron on a dataset, an entry for every sign case with examples.

    There is none where the stage `peaks` has not come to the neuron.
    """
    r, t = tables.peak_token_rows.c, tables.tokens.c
    value = _select_example_value(r, r.best_rank)
    rows = connection.execute(
        select(r.list_id, r.token_id, t.token, r.count, value)
        .outerjoin_from(
            tables.peak_token_rows,
            tables.tokens,
            (t.model_id == model.model_id) & (t.token_id == r.token_id),
        )
        .where((r.neuron_id == neuron_id) & (r.dataset_id == dataset_id))
        .order_by(r.list_id, r.rank)
    )
    found: dict[str, dict[str, list[PeakToken]]] = {}
    for list_id, *token in rows:
        case, place = _LISTS[list_id]
        found.setdefault(case, {}).setdefault(place, []).append(PeakToken(*token))
    sizes = _measure_lists(connection, neuron_id, dataset_id) if found else {}
    return tuple(
        CasePeaks(case, *sizes[case], *(tuple(of_case.get(p, ())) for p in codes.PEAK_PLACES))
        for case, of_case in found.items()
        if case in sizes
    )


def _measure_lists(
    connection: Connection, neuron_id: int, dataset_id: int
) -> dict[str, tuple[int, bool]]:
    """Return, by sign case, how many examples of hook_post there are, and if all are of BOS."""
    e = tables.example_rows.c
    case_of = {codes.encode_example_list(i, _POST): case for i, case in enumerate(codes.SIGN_CASES)}
    rows = connection.execute(
        select(e.list_id, func.count(), func.max(e.position))
        .where((e.neuron_id == neuron_id) & (e.dataset_id == dataset_id))
        .where(e.list_id.in_(case_of))
        .group_by(e.list_id)
    )
    return {case_of[list_id]: (n, last == 0) for list_id, n, last in rows}


def _match_list(row: Any) -> ColumnElement[bool]:
    """Return the condition that examples are those that a row of peak tokens was counted in."""
    e = tables.example_rows.c
    in_case = row.list_id // len(codes.PEAK_PLACES) * len(codes.QUANTITIES) + _POST
    is_list = is_of_list(e, in_case, len(codes.EXAMPLE_LISTS))
    return and_(e.neuron_id == row.neuron_id, e.dataset_id == row.dataset_id, is_list)


def _select_example_value(row: Any, rank: Any) -> Any:
    e = tables.example_rows.c
    is_it = _match_list(row) & (e.rank == rank)
    return select(unscale(e.scaled_value)).where(is_it).scalar_subquery()


@dataclass(frozen=True)
class Firing:
    """A neuron that has a token at one place of its examples in one sign case.

    Attributes:
        place: peak, previous or next.
        count: in how many examples the token stands there.
        list_size: how many examples there are.
        value: hook_post at the peak of the strongest of those `count`.
        rank: place among the tokens that stand there; 0 is the most frequent.
    """

    token_id: int
    neuron_id: int
    layer: int
    neuron: int
    name: str
    class_name: str | None
    sign_case: str
    place: str
    rank: int
    count: int
    list_size: int
    value: float | None

    @property
    def effect(self) -> str:
        """What the neuron does, one of the values of `FIRES`."""
        return FIRES[self.place]


def list_firings(
    connection: Connection,
    model: Model,
    token_ids: Sequence[int],
    layers: Sequence[int] | None = None,
    most: int | None = None,
) -> list[Firing]:
    """Return the neurons that fire on, after or before some tokens on the model's dataset.

    Those that have a token in the most examples go first, among equals those where it ranks
    higher.

    Args:
        connection: an open connection.
        model: the model; its activations are those on the dataset that `neuron_overview` shows.
        token_ids: the tokens.
        layers: only neurons of these layers; None is all.
        most: how many entries at most; None is all.
    """
    chosen = _select_strongest(model, _match_tokens(token_ids, tuple(FIRES)), layers, most)
    return list(map(_make_firing, connection.execute(_describe(chosen, model))))


def _match_tokens(token_ids: Sequence[int], places: Sequence[str]) -> ColumnElement[bool]:
    r = tables.peak_token_rows.c
    lists = [code for code, _, place in codes.PEAK_LISTS if place in places]
    return r.token_id.in_(token_ids) & r.list_id.in_(lists)


def _match_layers(model: Model, layers: Sequence[int] | None) -> ColumnElement[bool]:
    neuron_id = tables.peak_token_rows.c.neuron_id
    if layers is None:
        return match_neurons(neuron_id, model)
    return or_(false(), *(match_neurons(neuron_id, model, layer) for layer in layers))


def _select_strongest(
    model: Model,
    wanted: ColumnElement[bool],
    layers: Sequence[int] | None,
    most: int | None,
) -> Select[Any]:
    """Return the query of the rows with a token, the most frequent first; the index has it all."""
    r = tables.peak_token_rows.c
    return (
        select(r.neuron_id, r.dataset_id, r.list_id, r.rank, r.count, r.token_id)
        .where(wanted & (r.dataset_id == model.dataset_id) & _match_layers(model, layers))
        .order_by(r.count.desc(), r.rank, r.neuron_id, r.list_id, r.token_id)
        .limit(most)
    )


def _describe(chosen: Select[Any], model: Model) -> Select[Any]:
    """Return the query of chosen rows with what is shown of them, in the same order."""
    top = chosen.subquery()
    r, b, n = top.c, tables.peak_token_rows.c, named_neurons.c
    q, k, e = tables.classes.c, tables.rw_classes.c, tables.example_rows.c
    size = select(func.count(e.rank)).where(_match_list(r)).scalar_subquery()
    value = _select_example_value(r, b.best_rank)
    same = (b.neuron_id == r.neuron_id) & (b.dataset_id == r.dataset_id)
    same &= (b.list_id == r.list_id) & (b.rank == r.rank)
    return (
        select(r.token_id, r.neuron_id, n.layer, n.neuron, n.name)
        .add_columns(k.name, r.list_id, r.rank, r.count, size, value)
        .select_from(top)
        .join(tables.peak_token_rows, same)
        .join(named_neurons, n.neuron_id == r.neuron_id)
        .outerjoin(tables.classes, (q.neuron_id == r.neuron_id) & (q.threshold == model.threshold))
        .outerjoin(tables.rw_classes, k.class_id == q.class_id)
        .order_by(r.count.desc(), r.rank, r.neuron_id, r.list_id, r.token_id)
    )


def _make_firing(row: Any) -> Firing:
    token_id, neuron_id, layer, neuron, name, class_name, list_id, *strength = row
    case, place = _LISTS[list_id]
    return Firing(token_id, neuron_id, layer, neuron, name, class_name, case, place, *strength)


@dataclass(frozen=True)
class TokenFirings:
    """The neurons that have a token at one place of their examples.

    Attributes:
        effect: `fires on`, `fires after` or `fires before`.
        by_layer: how many neurons of each layer do, from layer 0.
        firings: those that have it in the most examples; a neuron may be there in several cases.
    """

    effect: str
    place: str
    by_layer: tuple[int, ...]
    firings: tuple[Firing, ...]

    @property
    def count(self) -> int:
        """Number of neurons in all layers."""
        return sum(self.by_layer)


def read_token_firings(
    connection: Connection,
    model: Model,
    token_ids: Sequence[int],
    layers: Sequence[int] | None,
    most: int | None,
) -> tuple[TokenFirings, ...]:
    """Return the neurons that fire on, after and before some tokens, an entry for each.

    Args:
        connection: an open connection.
        model: the model; its activations are those on the dataset that `neuron_overview` shows.
        token_ids: the tokens.
        layers: list only neurons of these layers; None is all.
        most: how many of an entry to list at most; None is all.
    """
    found = []
    for place, effect in FIRES.items():
        wanted = _match_tokens(token_ids, (place,))
        chosen = _select_strongest(model, wanted, layers, most)
        firings = tuple(map(_make_firing, connection.execute(_describe(chosen, model))))
        counts = _count_neurons_by_layer(connection, model, wanted)
        found.append(TokenFirings(effect, place, counts, firings))
    return tuple(found)


def _count_neurons_by_layer(
    connection: Connection, model: Model, wanted: ColumnElement[bool]
) -> tuple[int, ...]:
    r = tables.peak_token_rows.c
    number = ((r.neuron_id - model.first_neuron_id) // model.d_mlp).label("layer")
    rows = connection.execute(
        select(number, func.count(r.neuron_id.distinct()))
        .where(wanted & (r.dataset_id == model.dataset_id) & match_neurons(r.neuron_id, model))
        .group_by(number)
    )
    counts = [0] * model.n_layers
    for layer, n in rows:
        counts[layer] = n
    return tuple(counts)


def has_peak_tokens(connection: Connection, model: Model) -> bool:
    """Tell whether peak tokens of any neuron of a model are stored, on the dataset it shows."""
    r = tables.peak_token_rows.c
    rows = select(r.neuron_id).where(match_neurons(r.neuron_id, model))
    return (
        connection.execute(rows.where(r.dataset_id == model.dataset_id).limit(1)).first()
        is not None
    )
