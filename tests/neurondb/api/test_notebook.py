"""What a notebook shows of what the Python interface returns, and its charts, arrays and lists."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import altair
import pyarrow
import pytest

from neurondb.api import Database, Neuron, NeuronGroup, StoredModel
from neurondb.errors import LackingModelError, UnknownNameError, UsageError
from neurondb.extras import MissingExtraError
from neurondb.formatting.documents import format_json

MODEL = "sample-llama"
VOID = {"br", "img", "hr", "meta"}


class Balance(HTMLParser):
    """The names of elements that are open; raises where one is closed that is not."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, _attributes: object) -> None:
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def elements(page: str) -> set[str]:
    return Balance(page).seen


def plain(page: str) -> str:
    return re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)


def test_a_neuron_shows_verdict_cases_tokens_and_texts(db: Database) -> None:
    neuron = db.neuron(MODEL, "0.1")
    page = neuron._repr_html_()
    assert isinstance(neuron, Neuron)
    assert {"style", "table", "mark", "code"} <= elements(page)
    text = plain(page)
    at = neuron.verdict.read_write
    assert at is not None
    assert neuron.description is not None
    for said in (f"{MODEL} 0.1", at.name, neuron.description.split("␣")[0], "gate+_in+"):
        assert said in text
    assert page.count("flex-grow") == 4  # the sign cases as a strip
    assert len(page) < 20_000


def test_every_neuron_of_every_model_can_be_shown(db: Database) -> None:
    for summary in db.models:
        for name in ("0.0", "0.1", "1.7", "2.3"):
            neuron = db.neuron(summary.model.name, name)
            elements(neuron._repr_html_())
            bare = replace(neuron, activations=None, vocabulary=None, examples=())
            assert f"{summary.model.name} {name}" in plain(Neuron._repr_html_(bare))


def test_what_is_shown_is_text(db: Database) -> None:
    page = db.sql(
        "SELECT '<script>alert(1)</script>' AS \"<b>x</b>\", 'weakening' AS class"
    )._repr_html_()
    assert "script" not in elements(page)
    assert "&lt;script&gt;" in page
    assert "b" not in elements(page)
    assert 'class="class class-weakening"' in page


def test_a_long_result_shows_its_beginning(db: Database) -> None:
    page = db.find(f"model={MODEL}")._repr_html_()
    assert "256 rows, of which 20 are shown" in plain(page)
    assert page.count("<tr>") == 21
    assert "1 row" in plain(db.sql("SELECT 1 AS n")._repr_html_())
    assert "0 rows" in plain(db.find("layer=0 layer=1")._repr_html_())


def test_a_model_shows_its_sizes_classes_and_figures(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = db.model(MODEL)
    assert isinstance(model, StoredModel)
    assert sum(model.n_by_class.values()) == 256
    page = model._repr_html_()
    assert {"svg", "figure"} <= elements(page)
    assert "4 layers, 256 neurons" in plain(page)
    monkeypatch.setattr(db, "draw_svg", raise_missing_extra)
    assert "figure" not in elements(model._repr_html_())
    with pytest.raises(UnknownNameError, match="'nobody'"):
        db.model("nobody")


def raise_missing_extra(*_: object) -> bytes:
    raise MissingExtraError("site")


def test_charts_are_altair_s(db: Database) -> None:
    chart = db.neuron(MODEL, "1.7").plot()
    assert isinstance(chart, altair.TopLevelMixin)
    assert "1.7" in str(chart.to_dict())
    by_layer = db.model(MODEL).plot()
    assert by_layer.to_dict() == db.plot("classes-by-layer", MODEL).to_dict()
    with pytest.raises(UsageError, match=r"'classes-by-layr'.*'classes-by-layer'"):
        db.plot("classes-by-layr", MODEL)
    with pytest.raises(UsageError, match="no parameter 'layer'"):
        db.neuron(MODEL, "1.7").plot("classes-by-layer")


def test_a_neuron_as_json_is_its_page(db: Database) -> None:
    neuron = db.neuron(MODEL, "1.7")
    assert "_database" not in format_json(neuron)
    assert repr(neuron) == f"<neurondb.Neuron {MODEL} 1.7: atypical proportional change>"


def test_an_ungated_neuron_has_no_gate(db: Database) -> None:
    neuron = db.neuron("sample-gpt", "0.1")
    object.__setattr__(neuron, "vectors", SimpleNamespace(gate=None))
    with pytest.raises(LackingModelError, match=r"sample-gpt 0\.1 has no gate"):
        neuron.gate  # noqa: B018


def test_token_lists_are_columns_of_lists(db: Database) -> None:
    rows = db.find(f"model={MODEL} 1.7,1.8", columns="name", token_lists=3)
    assert rows.columns[:4] == ("name", "neuron_id", "gate_top_tokens", "gate_bottom_tokens")
    page = db.neuron(MODEL, "1.7")
    assert page.vocabulary is not None
    stored = {(one.vector, one.direction): one.tokens for one in page.vocabulary.lists}
    first = rows.to_dicts()[0]
    for (vector, direction), tokens in stored.items():
        texts = [f"#{one.token_id}" if one.token is None else one.token for one in tokens[:3]]
        assert first[f"{vector}_{direction}_tokens"] == texts
    table = rows.to_arrow()
    assert table.schema.field("out_top_tokens").type == pyarrow.list_(pyarrow.string())
    assert table.to_pylist() == rows.to_dicts()
    assert rows.to_polars()["out_top_tokens"].to_list() == [row[-2] for row in rows]
    assert rows.to_pandas()["out_top_tokens"][0] == first["out_top_tokens"]
    with pytest.raises(UsageError, match="token_lists is -1"):
        db.find("", token_lists=-1)


def test_an_empty_result_is_an_arrow_table_too(db: Database) -> None:
    table = db.find("layer=0 layer=1", columns="name,freq").to_arrow()
    assert (table.column_names, table.num_rows) == (["name", "freq"], 0)


def test_a_group_names_its_neurons(db: Database) -> None:
    group = db.select(MODEL, where="layer=1")
    assert isinstance(group, NeuronGroup)
    assert len(group) == 64
    assert repr(group).endswith("64 neurons, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, …>")
    one = db.select(MODEL, neurons="2.5")
    assert repr(one) == f"<neurondb.NeuronGroup of {MODEL}: 1 neuron, 2.5>"


def test_threads_ask_side_by_side(db: Database) -> None:
    expected = list(db.find(f"model={MODEL}", columns="name,layer"))
    with ThreadPoolExecutor(8) as pool:
        asked = pool.map(lambda _: list(db.find(f"model={MODEL}", columns="name,layer")), range(24))
        assert all(found == expected for found in asked)
        shared = db.find(f"model={MODEL}", columns="name,layer")
        read = pool.map(lambda _: list(shared), range(24))
        assert all(found == expected for found in read)


def test_coroutines_ask_in_threads(db: Database) -> None:
    async def ask() -> tuple[int, int]:
        rows = await asyncio.to_thread(db.find, f"model={MODEL}")
        next(iter(rows))
        read, counted = await asyncio.gather(
            asyncio.to_thread(len, rows), asyncio.to_thread(db.count, f"model={MODEL}")
        )
        return read, counted

    assert asyncio.run(ask()) == (256, 256)
