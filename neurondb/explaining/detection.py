"""The texts that a scorer tells apart: held-out examples of a neuron, and controls.

Detection (docs/methods.md, Explanations): a program has an explanation and texts in random order,
and says which of them activate the neuron. Half of the texts are examples that were no evidence,
half are controls: texts drawn at random where `ingest --controls` stored them, else examples of
other neurons of the layer. The first token of a text is where many neurons are most active,
whatever the text says: a control whose peak stands there is shown at another place, drawn at
random. Everything follows from the database and a seed.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import Connection, Row, select

from neurondb.contracts.explain import Trouble
from neurondb.explaining.evidence import Json, is_shown
from neurondb.reading.activations import Activations
from neurondb.reading.excerpts import Place, read_excerpts, read_token_ids
from neurondb.reading.models import Model
from neurondb.schema import codes, tables

SCHEMA: Final = "neurondb.detection/1"
"""Name and version of the form of what a scorer is given."""
RANDOM, OTHERS = "random", "others"
"""Kinds of controls: texts drawn at random, or examples of other neurons of the layer."""
NEURONS_TRIED: Final = 64
"""Other neurons whose examples are drawn from at most."""
FIRST_TOKEN: Final = 0
"""The position of a text's beginning, BOS where there is one."""
_POST: Final = codes.QUANTITIES.index("hook_post")

Item = TypeVar("Item")


@dataclass(frozen=True)
class Batch:
    """Texts to be told apart, in the order in which a scorer sees them.

    Attributes:
        texts: each as its tokens.
        activating: which of them are held-out examples; the others are controls.
        controls: `random` or `others`.
    """

    texts: tuple[tuple[str, ...], ...]
    activating: tuple[bool, ...]
    controls: str

    def give(self, explanation: str) -> Json:
        """Return what a scorer is given: nothing says which neuron the texts are of."""
        return {
            "schema": SCHEMA,
            "task": "score",
            "explanation": explanation,
            "texts": [{"text": "".join(tokens), "tokens": list(tokens)} for tokens in self.texts],
        }


class _Lists(NamedTuple):
    """The texts in a neuron's lists of hook_post.

    Attributes:
        held_out: those of the scored case that are no evidence, by rank.
        listed: ids of the texts that any list has, which cannot be controls.
    """

    held_out: list[Place]
    listed: set[int]


def read_batch(
    connection: Connection,
    model: Model,
    neuron_id: int,
    activations: Activations | None,
    sign_case: str | None,
    *,
    radius: int,
    seed: int,
) -> Batch | Trouble:
    """Return the texts that explanations of a neuron are scored on, or why there are none.

    Args:
        connection: an open connection.
        model: the neuron's model.
        neuron_id: its id.
        activations: the neuron on the dataset whose texts are taken; None where it is not there.
        sign_case: whose examples are to be told; None is that of the largest |hook_post|.
        radius: tokens that are shown on either side of a peak.
        seed: of the choice of controls, and of the order.
    """
    case = sign_case or (None if activations is None else activations.strongest)
    if activations is None or case is None:
        return Trouble("no texts", "no activations of it are stored")
    dataset_id = activations.dataset.dataset_id
    shuffle = _make_shuffle(f"{seed} {neuron_id} {case}")
    lists = _read_lists(connection, neuron_id, dataset_id, case)
    if not lists.held_out:
        return Trouble("no texts", f"no example of {case} is held out")
    kind, places = _read_controls(connection, model, neuron_id, dataset_id, lists, shuffle)
    n = min(len(lists.held_out), len(places))
    if not n:
        return Trouble("no texts", "there is no control; `ingest --controls` stores some")
    examples = lists.held_out[:n]
    controls = _leave_first_tokens(connection, model, places[:n], f"{seed} {neuron_id} {case}")
    chosen = shuffle([*((one, True) for one in examples), *((one, False) for one in controls)])
    excerpts = read_excerpts(connection, model, [place for place, _ in chosen], radius)
    texts = tuple(one.tokens or (one.before + one.after,) for one in excerpts)
    return Batch(texts, tuple(activating for _, activating in chosen), kind)


def _read_lists(connection: Connection, neuron_id: int, dataset_id: int, case: str) -> _Lists:
    """Return the lists of all sign cases; a text that is evidence for any case is not held out."""
    r = tables.example_rows.c
    scored = codes.encode_example_list(codes.SIGN_CASES.index(case), _POST)
    rows = connection.execute(
        select(r.list_id, r.rank, r.text_id, r.position)
        .where((r.neuron_id == neuron_id) & (r.dataset_id == dataset_id))
        .where(r.list_id.in_(_list_post_codes()))
        .order_by(r.list_id, r.rank)
    ).all()
    shown = {row.text_id for row in rows if is_shown(row.rank)}
    held_out = [
        Place(row.text_id, row.position)
        for row in rows
        if row.list_id == scored and not is_shown(row.rank) and row.text_id not in shown
    ]
    return _Lists(held_out, {row.text_id for row in rows})


def _list_post_codes() -> list[int]:
    return [codes.encode_example_list(i, _POST) for i in range(len(codes.SIGN_CASES))]


def _read_controls(
    connection: Connection,
    model: Model,
    neuron_id: int,
    dataset_id: int,
    lists: _Lists,
    shuffle: Callable[[Iterable[Any]], list[Any]],
) -> tuple[str, list[Place]]:
    """Return the kind of the controls, and as many as there are, in random order."""
    r = tables.control_example_rows.c
    rows = connection.execute(
        select(r.rank, r.text_id, r.position)
        .where((r.neuron_id == neuron_id) & (r.dataset_id == dataset_id))
        .where(r.kind_id == codes.CONTROL_KINDS.index(RANDOM))
        .order_by(r.rank)
    ).all()
    shown = {row.text_id for row in rows if is_shown(row.rank)}
    places = list(_pick(rows, lists.listed | shown))
    if places:
        return RANDOM, shuffle(places)
    of_layer = shuffle(_list_others(model, neuron_id))[:NEURONS_TRIED]
    e = tables.example_rows.c
    listed = connection.execute(
        select(e.neuron_id, e.list_id, e.text_id, e.position)
        .where(e.neuron_id.in_(of_layer) & (e.dataset_id == dataset_id))
        .where(e.list_id.in_(_list_post_codes()))
        .order_by(e.neuron_id, e.list_id, e.position == FIRST_TOKEN, e.rank)
    ).all()
    strongest = {(row.neuron_id, row.list_id): row for row in reversed(listed)}
    shuffled = shuffle(strongest[key] for key in sorted(strongest))
    shuffled.sort(key=lambda row: row.position == FIRST_TOKEN)
    return OTHERS, list(_pick(shuffled, lists.listed))


def _leave_first_tokens(
    connection: Connection, model: Model, places: Sequence[Place], seed: str
) -> list[Place]:
    """Return places with another one, drawn at random, for each that is its text's first token."""
    texts = {place.text_id for place in places if place.position == FIRST_TOKEN}
    lengths = {
        text_id: len(ids) for text_id, ids in read_token_ids(connection, model, texts).items()
    }

    def move(place: Place) -> Place:
        n_others = lengths.get(place.text_id, 0) - 1
        if place.position != FIRST_TOKEN or n_others < 1:
            return place
        drawn = hashlib.sha256(f"{seed} window {place.text_id}".encode()).digest()
        return place._replace(position=1 + int.from_bytes(drawn[:8]) % n_others)

    return list(map(move, places))


def _list_others(model: Model, neuron_id: int) -> list[int]:
    """Return the ids of the other neurons of a neuron's layer."""
    layer = (neuron_id - model.first_neuron_id) // model.d_mlp
    first = model.first_neuron_id + layer * model.d_mlp
    return [i for i in range(first, first + model.d_mlp) if i != neuron_id]


def _pick(rows: Iterable[Row[*tuple[Any, ...]]], taken: set[int]) -> Iterator[Place]:
    """Yield the place of each row whose text is not taken, and each text once."""
    seen = set(taken)
    for row in rows:
        if row.text_id not in seen:
            seen.add(row.text_id)
            yield Place(row.text_id, row.position)


def _make_shuffle(seed: str) -> Callable[[Iterable[Item]], list[Item]]:
    """Return a function that puts things in an order which follows from the seed and their number.

    It is by sha256, so that no version of Python or numpy changes it.
    """

    def shuffle(items: Iterable[Item]) -> list[Item]:
        listed = list(items)
        digests = [hashlib.sha256(f"{seed} {i}".encode()).digest() for i in range(len(listed))]
        return [listed[i] for i in sorted(range(len(listed)), key=digests.__getitem__)]

    return shuffle
