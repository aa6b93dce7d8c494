"""Neurons that are worth a look: the clearest of each class, and those that check twice.

Prototypical and prediction neurons are chosen as weakening-neurons, app. F.2, chose its case
studies, double-checking ones as app. E describes them (METHODS §4).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from sqlalchemy import bindparam, text

from neurondb.documents.markup import (
    Block,
    ClassName,
    Faint,
    Heading,
    Paragraph,
    Text,
    Token,
    join_texts,
)
from neurondb.documents.report.subject import (
    Row,
    Shown,
    Subject,
    show_class,
    show_count,
    show_neuron,
    show_number,
    show_signed,
    show_text,
    tabulate,
)
from neurondb.formatting.numbers import MISSING, format_share
from neurondb.formatting.text import keep_start
from neurondb.neurons import parse_neuron
from neurondb.reading.models import find_neuron_id
from neurondb.reading.neuron_table import NeuronLine, read_neuron_lines

TOKENS_SHOWN: Final = 5
"""Tokens of a list that a table shows."""
TOKEN_CELLS: Final = 16
"""Characters of a token that it shows at most."""
PROTOTYPES: Final = 2
"""Neurons of each class that are shown as its clearest; the paper took the first."""
DOUBLE_CHECKING_SHOWN: Final = 12
TABLE_2: Final = "weakening-neurons, app. F.2 and table 2"

_TOP_TOKENS: Final = text(
    "SELECT p.neuron_id, p.vector, p.direction, t.token FROM top_tokens p "
    "LEFT JOIN tokens t ON t.model_id = :model_id AND t.token_id = p.token_id "
    "WHERE p.neuron_id IN :ids AND p.basis = 'unembed' "
    "ORDER BY p.neuron_id, p.vector, p.direction, p.rank"
).bindparams(bindparam("ids", expanding=True))


class ListKey(NamedTuple):
    """A neuron's list of tokens along or against a vector."""

    neuron_id: int
    vector: str
    direction: str


TokenLists = Mapping[ListKey, list[str | None]]


def write_neurons(subject: Subject) -> Iterator[Block]:
    """Yield the section of single neurons."""
    yield Heading("Neurons to look at", 2, "neurons")
    yield from _write_prototypes(subject)
    yield from _write_predictors(subject)
    if subject.model.gated:
        yield from _write_double_checking(subject)


def _write_prototypes(subject: Subject) -> Iterator[Block]:
    answer = subject.ask("prototypical-neurons", top=PROTOTYPES)
    if not answer.rows:
        return
    lines, lists = _read_about(subject, answer.rows)
    yield Heading("Prototypical neurons of each class", 3)
    yield Paragraph(
        (
            "The neurons with the strongest cosine that defines their class, among those whose "
            "other cosine is within the random region where it ought to be 0. ",
            Faint("Chosen as in weakening-neurons, app. F.2."),
        )
    )
    yield from tabulate(
        answer,
        [
            *(show_class(), show_neuron()),
            *_show_cosines(subject),
            _show_firing(lines),
            _show_tokens(lists, "out promotes", "top"),
            _show_tokens(lists, "out suppresses", "bottom"),
            *_show_description(lines),
        ],
    )


def _write_predictors(subject: Subject) -> Iterator[Block]:
    answer = subject.ask("prediction-neurons", top=1)
    if not answer.rows:
        return
    lines, lists = _read_about(subject, answer.rows)
    yield Heading("Prediction neurons of each class", 3)
    yield Paragraph(
        (
            "The neuron with the highest kurtosis of cos(U, out) in each class. Above 10 it "
            "promotes a few tokens, or suppresses them where that is its role, and leaves the "
            "others as they are. ",
            Faint("Chosen as in weakening-neurons, app. F.2 and table 2."),
        )
    )
    yield from tabulate(
        answer,
        [
            *(show_class(), show_neuron(), show_number("kurtosis", "kurtosis")),
            Shown("role", lambda row: row["role"] or MISSING),
            *_show_cosines(subject),
            _show_firing(lines),
            Shown("acts on", lambda row: _write_acted_on(row, lists)),
            *_show_description(lines),
        ],
    )


def _write_acted_on(row: Row, lists: TokenLists) -> Text:
    """Return the tokens that a neuron promotes most, or that it suppresses if that is its role."""
    direction = "bottom" if row["role"] == "suppression" else "top"
    return _show_tokens(lists, "", direction).write(row)


def _write_double_checking(subject: Subject) -> Iterator[Block]:
    answer = subject.ask("double-checking", limit=DOUBLE_CHECKING_SHOWN)
    if not answer.rows:
        return
    lines, lists = _read_about(subject, answer.rows)
    yield Heading("Double-checking neurons", 3)
    yield Paragraph(
        (
            "gate and in are nearly orthogonal and still read the same tokens; the sign is − where "
            "in reads with the other sign what gate reads. The overlap is the Jaccard index of the "
            "two lists. ",
            Faint("As weakening-neurons, app. E."),
        )
    )
    yield from tabulate(
        answer,
        [
            *(show_neuron(), _show_class_of(lines), show_signed("gate_in", "cos(gate, in)")),
            *(show_text("sign"), show_number("jaccard", "overlap")),
            show_count("shared_tokens", "shared"),
            Shown("which", lambda row: _write_shared(subject, row, lists)),
            *_show_description(lines),
        ],
    )


def _read_about(subject: Subject, rows: Iterable[Row]) -> tuple[dict[str, NeuronLine], TokenLists]:
    """Return name → line of the neurons of rows, and their lists of tokens."""
    ids = [find_neuron_id(subject.model, *parse_neuron(row["name"])) for row in rows]
    lines = {line.name: line for line in read_neuron_lines(subject.connection, ids)}
    lists: dict[ListKey, list[str | None]] = {}
    values = {"ids": ids, "model_id": subject.model.model_id}
    for neuron_id, vector, direction, token in subject.connection.execute(_TOP_TOKENS, values):
        lists.setdefault(ListKey(neuron_id, vector, direction), []).append(token)
    for row in rows:
        row["neuron_id"] = find_neuron_id(subject.model, *parse_neuron(row["name"]))
    return lines, lists


def _show_cosines(subject: Subject) -> list[Shown]:
    in_out = show_signed("in_out", "in, out")
    if not subject.model.gated:
        return [in_out]
    return [show_signed("gate_in", "gate, in"), show_signed("gate_out", "gate, out"), in_out]


def _show_firing(lines: Mapping[str, NeuronLine]) -> Shown:
    def write(row: Row) -> Text:
        line = lines.get(row["name"])
        return format_share(None if line is None else line.freq)

    return Shown("fires", write, numeric=True)


def _show_description(lines: Mapping[str, NeuronLine]) -> list[Shown]:
    """Return the column of what stands out of each neuron; none where none is described."""
    described = {name: line.description for name, line in lines.items() if line.description}
    if not described:
        return []
    return [Shown("what stands out", lambda row: described.get(row["name"], MISSING))]


def _show_class_of(lines: Mapping[str, NeuronLine]) -> Shown:
    def write(row: Row) -> Text:
        line = lines.get(row["name"])
        return "" if line is None else ClassName(line.class_name)

    return Shown("class", write)


def _show_tokens(lists: TokenLists, title: str, direction: str) -> Shown:
    def write(row: Row) -> Text:
        tokens = lists.get(ListKey(row["neuron_id"], "out", direction), [])
        return _write_tokens(tokens[:TOKENS_SHOWN])

    return Shown(title, write)


def _write_shared(subject: Subject, row: Row, lists: TokenLists) -> Text:
    """Return the tokens that gate and in have in common, in the order of gate's list."""
    of_gate = lists.get(ListKey(row["neuron_id"], "gate", "top"), [])
    direction = "top" if row["sign"] == "+" else "bottom"
    of_in = set(lists.get(ListKey(row["neuron_id"], "in", direction), []))
    shared = [token for token in of_gate if token in of_in]
    return _write_tokens(shared[: 2 * TOKENS_SHOWN])


def _write_tokens(tokens: Iterable[str | None]) -> Text:
    # Some vocabularies have a token of dozens of spaces, which would take a table's width.
    shown = (None if token is None else keep_start(token, TOKEN_CELLS) for token in tokens)
    return join_texts(map(Token, shown), " ")
