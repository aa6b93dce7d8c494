"""Table 2 and the page of 31.9634, against a database with these neurons of OLMo-7B alone."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, insert, update

from neurondb.migrate import create_or_open
from neurondb.neurons import parse_neuron
from neurondb.published.comparison import Comparison
from neurondb.published.firing import Firing, read_firing
from neurondb.published.single_neurons import compare_neuron_cosines, compare_sign_cases
from neurondb.published.tolerances import allow_for_rounding
from neurondb.reading.models import find_model
from neurondb.schema import codes, tables
from tests.support.places import pack_place
from tests.support.published_models import FIGURES, describe, put_dataset

OLMO = "olmo-7b-0424"
TABLE = FIGURES["cosines"]["neurons"]
PAGE = FIGURES["sign_cases"]
COLUMNS = dict(zip(codes.QUANTITIES, codes.QUANTITY_COLUMNS, strict=True))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    engine = create_or_open(str(tmp_path_factory.mktemp("olmo") / "o.db"))
    with engine.begin() as connection:
        model = describe(connection, OLMO, (32, 11008), d_model=4096)
        put_dataset(connection, model, "dolma-small", 20_000_000)
        for name, (gate_in, gate_out, in_out) in TABLE.items():
            put_neuron(connection, name, gate_in, gate_out, in_out)
        put_page(connection, neuron_id("31.9634"))
    yield engine
    engine.dispose()


def neuron_id(name: str) -> int:
    layer, neuron, _ = parse_neuron(name)
    return 1 + layer * 11008 + neuron


def put_neuron(
    connection: Connection, name: str, gate_in: float, gate_out: float, in_out: float
) -> None:
    """Insert a neuron as ingestion would: `in` and `out` turned so that cos(gate, in) ≥ 0."""
    sign = -1 if gate_in < 0 else 1
    layer, neuron, _ = parse_neuron(name)
    key = {"neuron_id": neuron_id(name)}
    row = key | {"model_id": 1, "layer": layer, "neuron": neuron, "sign": sign}
    connection.execute(insert(tables.neurons), row)
    cosines = {"gate_in": sign * gate_in, "gate_out": sign * gate_out, "in_out": in_out}
    connection.execute(insert(tables.cosines), key | cosines)


def put_page(connection: Connection, neuron_id: int) -> None:
    """Insert what the page says of the neuron, and the peaks of its first examples."""
    key = {"neuron_id": neuron_id, "dataset_id": 1}
    connection.execute(
        insert(tables.activation_stats), key | {"n_tokens": 20_000_000, "freq": 0.8237}
    )
    text = {"text_id": 1, "dataset_id": 1, "ordinal": 0, "text": "t"}
    connection.execute(insert(tables.texts), text)
    for code, case in enumerate(codes.SIGN_CASES[:4]):
        row: dict[str, Any] = {"sign_case_id": code, "count": 1, "freq": PAGE["freq"][case]}
        for quantity, of_quantity in PAGE["statistics"].items():
            for theirs, ours in (("avg", "mean"), ("min", "min"), ("max", "max")):
                row[f"{COLUMNS[quantity]}_{ours}"] = of_quantity[case][theirs]
        connection.execute(insert(tables.sign_case_rows), key | row)
        for rank, value in enumerate(PAGE["peaks"]["hook_post"][case]):
            where = {"list_id": codes.encode_example_list(code, 0), "rank": rank, "text_id": 1}
            peak = {"position": 3, "scaled_value": value * 2**28}
            connection.execute(insert(tables.example_rows), pack_place(key | where | peak))


@pytest.fixture
def olmo(stored: Any) -> Iterator[Connection]:
    with stored.connect() as connection:
        yield connection
        connection.rollback()


def cosines(connection: Connection) -> list[Comparison]:
    return list(compare_neuron_cosines(connection, OLMO, find_model(connection, OLMO)))


def cases(connection: Connection) -> dict[str, Comparison]:
    model = find_model(connection, OLMO)
    firing: Firing | None = read_firing(connection, model)
    lines = list(compare_sign_cases(connection, OLMO, model, firing))
    assert len({c.item for c in lines}) == len(lines)
    return {c.item.removeprefix("31.9634 "): c for c in lines}


def test_table_2_is_met_in_the_sign_of_the_checkpoint(olmo: Connection) -> None:
    lines = cosines(olmo)
    assert [c.ours for c in lines] == pytest.approx([x for row in TABLE.values() for x in row])
    assert {c.verdict for c in lines} == {"agrees"}
    assert lines[6].item == "31.9634 gate_in"
    assert lines[6].published == -0.7164


def test_table_2_allows_for_rounded_weights_and_no_more(olmo: Connection) -> None:
    c = tables.cosines
    of_first = c.c.neuron_id == neuron_id("28.4737")
    for moved, verdict in ((1, "agrees"), (1.2, "differs")):
        value = 0.7060 + moved * (0.00005 + allow_for_rounding(4096)) - 1e-9
        olmo.execute(update(c).where(of_first).values(in_out=value))
        assert cosines(olmo)[2].verdict == verdict
    olmo.execute(update(tables.neurons).values(sign=1))
    differing = [line.item for line in cosines(olmo) if line.verdict == "differs"]
    turned = ("31.9634", "30.10972", "29.4180")
    assert differing[1:] == [f"{n} {pair}" for n in turned for pair in ("gate_in", "gate_out")]


def test_a_neuron_that_is_not_stored_is_not_in_the_database(olmo: Connection) -> None:
    olmo.execute(tables.cosines.delete().where(tables.cosines.c.neuron_id == neuron_id("28.4737")))
    assert [c.verdict for c in cosines(olmo)[:4]] == ["not in this database"] * 3 + ["agrees"]


def test_the_page_is_met(olmo: Connection) -> None:
    lines = cases(olmo)
    # 4 shares, 16 means, an extreme of every case and quantity, three more peaks of each case.
    assert len(lines) == 4 + 16 + 16 + 12
    assert max(abs(c.difference or 0) for c in lines.values()) == 0
    assert {c.verdict for c in lines.values()} == {"agrees"}
    assert lines["gate+_in- hook_post min"].published == -5.12
    assert lines["gate+_in- share of tokens"].published == 0.677
    assert lines["gate+_in+ hook_post, peak of example 1"].published == 3.3526
    assert "gate+_in- hook_post max" not in lines, "a case ends at zero"


@pytest.mark.parametrize(("factor", "verdict"), [(1.04, "agrees"), (1.1, "differs")])
def test_extremes_may_differ_by_the_precision_of_the_pass(
    olmo: Connection, factor: float, verdict: str
) -> None:
    olmo.exec_driver_sql(f"UPDATE sign_case_rows SET post_min = post_min * {factor}")
    assert cases(olmo)["gate+_in- hook_post min"].verdict == verdict
    olmo.exec_driver_sql(f"UPDATE example_rows SET scaled_value = scaled_value * {factor}")
    assert cases(olmo)["gate-_in- hook_post, peak of example 3"].verdict == verdict


def test_few_tokens_of_other_texts_have_no_extremes(olmo: Connection) -> None:
    olmo.exec_driver_sql("UPDATE dataset_rows SET name = 'sampler'")
    olmo.exec_driver_sql("UPDATE tokenizations SET n_tokens = 40000")
    olmo.exec_driver_sql("UPDATE sign_case_rows SET freq = freq * 0.9, post_mean = post_mean * 1.2")
    lines = cases(olmo)
    assert {c.verdict for c in lines.values()} == {"agrees", "not in this database"}
    absent = [item for item, c in lines.items() if c.verdict == "not in this database"]
    assert len(absent) == 16 + 12
    assert all(" min" in item or " max" in item or "peak" in item for item in absent)
    assert "10 million" in lines[absent[0]].note
    olmo.exec_driver_sql("UPDATE sign_case_rows SET freq = 0.25")
    wrong = [item for item, c in cases(olmo).items() if c.verdict == "differs"]
    assert wrong == ["gate+_in- share of tokens", "gate-_in+ share of tokens"] or len(wrong) >= 2


def test_extremes_of_nobody_knows_how_many_tokens_are_said_to_be_so(olmo: Connection) -> None:
    olmo.exec_driver_sql("DELETE FROM tokenizations")
    olmo.exec_driver_sql("UPDATE activation_stats SET n_tokens = NULL")
    notes = {c.note for c in cases(olmo).values() if c.verdict == "not in this database"}
    assert len(notes) == 1
    assert "is not known; an import's --tokens says it" in notes.pop()
