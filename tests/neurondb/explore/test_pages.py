"""The pages of models, layers and sets say what the database says, whole and safe."""

import csv
import io
import json
import re
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from sqlalchemy import delete, insert, update

from neurondb.database import connect, parse_url
from neurondb.migrate import create_or_open
from neurondb.schema import tables
from tests.support.explore_site import Answer, Site, looks_right, site
from tests.support.sample_database import LAYERS, NEURONS, WIDTH, Row, Sample, build, sample

__all__ = ["sample", "site"]

LLAMA, GPT = "sample-llama", "sample-gpt"


def found(site: Site, expression: str, **options: str) -> Answer:
    more = "".join(f"&{name}={quote(value)}" for name, value in options.items())
    return site.get(f"/find.json?q={quote(expression)}{more}")


def of(sample: Sample, model: str = LLAMA) -> list[Row]:
    return [row for row in sample.neurons if row["model"] == model]


# --- home ------------------------------------------------------------------------------------


def test_home_counts_the_classes_of_every_model(site: Site, sample: Sample) -> None:
    models = {one["model"]["name"]: one for one in site.get("/index.json").json["models"]}

    assert models.keys() == {LLAMA, GPT}
    for name, one in models.items():
        counts = {share["class_name"]: share["n"] for share in one["classes"]}
        assert counts == Counter(row["class"] for row in of(sample, name))


def test_every_example_on_the_first_page_finds_something(site: Site) -> None:
    home = site.get("/").page
    examples = [link for link in home.links if link.startswith("/search?q=")]

    assert len(examples) >= 4
    for address in examples:
        answer = site.get(address)
        while answer.status == 302:
            answer = site.get(answer.headers["location"])
        assert answer.status == 200, address
        assert "No neuron matches" not in answer.text, address


def test_an_empty_database_says_what_to_do(tmp_path: Path) -> None:
    create_or_open(str(tmp_path / "empty.db")).dispose()
    empty = Site(tmp_path / "empty.db")

    page = looks_right(empty.get("/"))

    assert "neurondb ingest" in page.text
    assert empty.get("/index.json").json["models"] == []
    assert looks_right(empty.get("/search?q=0.1"), 404).text.count("there is no model yet") == 1
    looks_right(empty.get("/find?q=weakening"))
    empty.close()


# --- all pages -------------------------------------------------------------------------------

ADDRESSES = (
    *("/", "/find?q=", "/find?q=weakening", "/find?q=layer%3D1&order=-penalty&page=2"),
    *("/search?q=0.1", "/search?q=%27%20dog%27", f"/model/{LLAMA}", f"/model/{GPT}"),
    *(f"/layer/{LLAMA}/0", f"/layer/{LLAMA}/3", f"/layer/{GPT}/1", "/pair"),
    f"/pair?left={LLAMA}/0.1&right={GPT}/0.1",
    *(f"/run/{number}" for number in (901, 902, 951, 961, 962, 971)),
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_page_is_whole_and_safe(site: Site, address: str) -> None:
    looks_right(site.get(address))


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_page_names_its_json_and_that_is_valid(site: Site, address: str) -> None:
    page = site.get(address).page
    (named,) = (link for link in page.links if ".json" in link)

    base = address.partition("?")[0].rpartition("/")[0]
    assert site.get(f"{base}/{named}").json.keys()


@pytest.mark.parametrize("address", ADDRESSES)
def test_links_of_our_pages_lead_somewhere(site: Site, address: str) -> None:
    links = {
        link for link in site.get(address).page.links if re.match(r"/(model|layer|find)", link)
    }

    for link in sorted(links)[:25]:
        assert site.get(link).status == 200, link


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("/model/sample-lama", 404, "did you mean 'sample-llama'"),
        (f"/layer/{LLAMA}/4", 404, "its layers are 0 to 3"),
        (f"/layer/{LLAMA}/99999999", 404, "its layers are 0 to 3"),
        ("/find?q=weakning", 400, "did you mean 'weakening'"),
        ("/find?q=freq%3E60", 400, "did you mean 60%"),
        ("/find?q=layer%3D1&order=fre", 400, "did you mean 'freq'"),
        ("/find?q=layer%3D1&page=0", 400, "pages are numbered"),
        ("/find?q=model%3Dnone", 404, "no model 'none'"),
        ("/search?q=9.9", 404, "no model here has a neuron 9.9"),
        ("/search?q=%27%20dgo%27", 404, "there is ' dog'"),
        ("/search?q=weakning", 400, "did you mean 'weakening'"),
        ("/search?q=" + "x" * 5000, 400, "at most 4,000 characters"),
        ("/pair?left=nobody/1.2&right=sample-gpt/0.0", 404, "no model 'nobody'"),
        ("/pair?left=1.2&right=sample-gpt/0.0", 400, "MODEL/LAYER.NEURON"),
        (f"/pair?left={LLAMA}/0.64&right={GPT}/0.0", 404, "its neurons 0 to 63"),
        (f"/compare/{LLAMA}/{GPT}", 400, "no neurons in common"),
        (f"/compare/{LLAMA}/nobody", 404, "no model 'nobody'"),
        ("/random/nobody", 404, "no model 'nobody'"),
        ("/run/12345", 404, "no run 12345"),
        (f"/figure/attribute-curves.json?model={LLAMA}&file=/etc/hostname", 400, "neurondb plot"),
        ("/figure/no-figure.json?model=x", 404, "no figure"),
        ("/figure/classes-by-layer.svg", 400, "?model=NAME"),
    ],
)
def test_a_mistake_is_one_line(site: Site, address: str, status: int, said: str) -> None:
    answer = site.get(address)

    assert answer.status == status
    if answer.headers["content-type"].startswith("application/json"):
        assert said in answer.json["error"]
    else:
        assert said in looks_right(answer, status).text


def test_a_mistake_stays_in_the_search_field(site: Site) -> None:
    for address in ("/search?q=weakning%20%22%3Cb%3E", "/find?q=weakning%20%22%3Cb%3E"):
        tags = site.get(address).page.tags
        assert [given["value"] for tag, given in tags if given.get("id") == "q"] == [
            'weakning "<b>'
        ]


def test_a_post_is_refused_where_nothing_is_sent(site: Site) -> None:
    assert site.get("/annotate").status == 405


# --- search ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "leads_to"),
    [
        ("sample-llama 0.5", "/neuron/sample-llama/0.5"),
        ("sample-llama/0.5", "/neuron/sample-llama/0.5"),
        ("SAMPLE-LLAMA  3.63 ", "/neuron/sample-llama/3.63"),
        ("sample-gpt", "/model/sample-gpt"),
        ("sample-llama ' dog'", "/token/sample-llama/0"),
        ("sample-llama #3", "/token/sample-llama/3"),
        ("' only-gpt'", "/token/sample-gpt/26"),
        ("only-gpt", "/token/sample-gpt/26"),
        ("weakening 0.5", "/find?q=weakening%200.5"),
        ("cond-weak or freq>0.5", "/find?q=cond-weak%20or%20freq%3E0.5"),
        ("promotes=' dog'", "/find?q=promotes%3D%27%20dog%27"),
        ("", "/"),
    ],
)
def test_a_search_leads_to_what_it_means(site: Site, asked: str, leads_to: str) -> None:
    answer = site.get(f"/search?q={quote(asked)}")

    assert (answer.status, answer.headers["location"]) == (302, leads_to)


def test_a_search_with_several_meanings_shows_them(site: Site) -> None:
    neuron = site.get("/search.json?q=0.5").json["options"]
    token = site.get("/search.json?q=%27%20dog%27").json["options"]

    assert [one["model"] for one in neuron] == [GPT, LLAMA]
    assert [one["address"] for one in token] == ["/token/sample-gpt/25", "/token/sample-llama/0"]


# --- find ------------------------------------------------------------------------------------


def test_a_set_is_ordered_counted_and_paged(site: Site, sample: Sample) -> None:
    expected = sorted(
        (row for row in of(sample) if row["in_out"] is not None),
        key=lambda row: (-row["in_out"], row["neuron_id"]),
    )
    names = []
    for page in range(1, 7):
        answer = found(site, f"model={LLAMA}", order="-in_out", page=str(page)).json
        names += [one["neuron"]["name"] for one in answer["neurons"]]
    assert answer["n"] == NEURONS
    assert answer["last_page"]
    assert names[: len(expected)] == [row["name"] for row in expected]
    assert len(names) == NEURONS


def test_a_line_has_the_neurons_numbers(site: Site, sample: Sample) -> None:
    row = sample.named(LLAMA, "2.7")
    (one,) = found(site, f"model={LLAMA} 2.7", order="penalty").json["neurons"]

    line = one["neuron"]
    assert line["class_name"] == row["class"]
    for name in ("gate_in", "gate_out", "in_out", "freq", "out_kurtosis", "role"):
        assert line[name] == row[name]
    assert line["token"]["token"] == row["top_out_token"]
    assert one["more"] == [row["penalty"]]


def test_an_ungated_neuron_fires_when_its_post_is_positive(site: Site, sample: Sample) -> None:
    (one,) = found(site, f"model={GPT} 2.7").json["neurons"]

    assert one["neuron"]["gate_in"] is None
    assert one["neuron"]["freq"] == sample.named(GPT, "2.7")["post_positive"]


def test_a_set_stands_beside_the_average_of_its_layers(site: Site, sample: Sample) -> None:
    chosen = [row for row in of(sample) if (row["freq"] or 0) > 0.7 and row["layer"] < 2]
    summary = found(site, f"model={LLAMA} freq>0.7 layer<2").json["summary"]

    weight = {layer: sum(r["layer"] == layer for r in chosen) / len(chosen) for layer in (0, 1)}
    of_layer = {n: [r for r in of(sample) if r["layer"] == n] for n in weight}
    expected = sum(weight[n] * statistics.mean(r["freq"] for r in of_layer[n]) for n in weight)
    assert summary["freq"] == pytest.approx(statistics.mean(r["freq"] for r in chosen))
    assert summary["expected_freq"] == pytest.approx(expected)
    for one in summary["classes"]:
        share = {
            n: sum(r["class"] == one["class_name"] for r in of_layer[n]) / WIDTH for n in weight
        }
        assert one["n"] == sum(r["class"] == one["class_name"] for r in chosen)
        assert one["expected"] == pytest.approx(sum(weight[n] * share[n] for n in weight))
    assert sum(one["expected"] for one in summary["classes"]) == pytest.approx(1)


def test_headings_order_by_their_column_and_turn_round(site: Site) -> None:
    first = found(site, "weakening").json["headings"]
    ordered = {one["key"]: one["address"] for one in first}

    answer = site.get(ordered["in_out"].replace("/find?", "/find.json?")).json
    heading = next(one for one in answer["headings"] if one["key"] == "in_out")

    assert answer["order"] == "-in_out"
    assert heading["sort"] == "descending"
    assert heading["address"].endswith("order=in_out")


def test_rows_for_programs_are_all_of_them(site: Site, sample: Sample) -> None:
    expression = quote(f"model={LLAMA} orthogonal")
    expected = [row["name"] for row in of(sample) if row["class"] == "orthogonal output"]

    as_csv = list(csv.DictReader(io.StringIO(site.get(f"/find.csv?q={expression}").text)))
    as_json = [
        json.loads(line)
        for line in site.get(f"/find.ndjson?q={expression}").text.split("\n")
        if line
    ]

    assert [row["name"] for row in as_csv] == [row["name"] for row in as_json] == expected


def test_an_empty_set_says_what_may_be_missing(site: Site) -> None:
    answer = found(site, "layer=17").json

    assert answer["n"] == 0
    assert answer["reasons"]


# --- model and layer -------------------------------------------------------------------------


def test_a_models_layers_have_their_medians_and_correlation(site: Site, sample: Sample) -> None:
    layers = site.get(f"/model/{LLAMA}.json").json["layers"]

    assert len(layers) == LAYERS
    for line in layers:
        rows = [row for row in of(sample) if row["layer"] == line["layer"]]
        both = [(r["freq"], r["in_out"]) for r in rows if r["in_out"] is not None]
        assert line["in_out"] == pytest.approx(statistics.median(b for _, b in both))
        assert line["correlation"] == pytest.approx(np.corrcoef(np.array(both).T)[0, 1])
        counts = {one["class_name"]: one["n"] for one in line["classes"]}
        assert counts == Counter(row["class"] for row in rows)


def test_an_ungated_models_layers_have_one_cosine(site: Site) -> None:
    page = site.get(f"/model/{GPT}.json").json

    assert {line["gate_in"] for line in page["layers"]} == {None}
    assert all(line["in_out"] is not None for line in page["layers"])
    assert "cos(gate, in)" not in looks_right(site.get(f"/model/{GPT}")).text


def test_a_layers_outstanding_neurons_are_those_with_the_largest_values(
    site: Site, sample: Sample
) -> None:
    lists = {one["order"]: one for one in site.get(f"/layer/{LLAMA}/1.json").json["outstanding"]}

    for order in ("-in_out", "in_out", "-freq", "-out_kurtosis"):
        key, sign = order.strip("-"), -1 if order.startswith("-") else 1
        rows = [r for r in of(sample) if r["layer"] == 1 and r[key] is not None]
        best = sorted(rows, key=lambda r: (sign * r[key], r["neuron_id"]))[:8]
        assert [one["name"] for one in lists[order]["neurons"]] == [r["name"] for r in best]


def test_the_scatter_is_of_the_layer_with_the_most_manipulators_or_of_the_one_asked_for(
    site: Site, sample: Sample
) -> None:
    counts = Counter(r["layer"] for r in of(sample) if r["class"] != "orthogonal output")
    most = min(layer for layer, n in counts.items() if n == max(counts.values()))
    scattered = [site.get(f"/model/{LLAMA}.json{q}").json["scattered"] for q in ("", "?layer=3")]

    assert scattered == [most, 3]
    page = looks_right(site.get(f"/model/{LLAMA}?layer=3"))
    specs = [str(given["data-spec"]) for _, given in page.tags if given.get("data-spec")]
    assert [one for one in specs if "layer-scatter" in one and one.endswith("layer=3")]
    assert site.get(f"/model/{LLAMA}?layer=77").status == 400


def test_classes_and_layers_of_a_set_lead_to_those_of_it(site: Site, sample: Sample) -> None:
    page = site.get("/find?q=" + quote("in_out>0 or in_out<-0.5") + "&order=-in_out").page
    narrowed = [link for link in page.links if link.startswith("/find?q=%28in_out")]

    assert narrowed
    for link in narrowed:
        inside = site.get(link.replace("/find?", "/find.json?")).json
        assert inside["n"] > 0, link
        assert inside["order"] == "-in_out"
    classes = [link for link in narrowed if "class%3D" in link]
    total = sum(site.get(link.replace("/find?", "/find.json?")).json["n"] for link in classes)
    fits = [r for r in sample.neurons if r["in_out"] is not None and r["class"] != "undefined"]
    assert total == sum(r["in_out"] > 0 or r["in_out"] < -0.5 for r in fits)


def test_all_neurons_are_counted_as_the_classes_are(site: Site, sample: Sample) -> None:
    assert found(site, "").json["n"] == len(sample.neurons)
    assert found(site, f"model={GPT}").json["n"] == len(of(sample, GPT))


def test_the_rows_of_a_panel_are_a_csv_file(site: Site) -> None:
    links = [link for link in site.get(f"/layer/{LLAMA}/1").page.links if ".csv?" in link]
    answers = [site.get(link) for link in links]

    assert links
    for answer in answers:
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/plain")
        assert len(list(csv.reader(io.StringIO(answer.text)))) > 1


def test_statements_of_panels_run_in_the_editor(site: Site) -> None:
    for address in (
        f"/model/{LLAMA}",
        f"/layer/{GPT}/1",
        "/find?q=promotes%3D%27%5Cn%27%20layer%3E0",
    ):
        links = [link for link in site.get(address).page.links if link.startswith("/sample?sql=")]
        assert links
        for link in links:
            answer = site.get(link.replace("/sample?", "/sample.json?")).json
            assert answer["error"] is None
            assert answer["rows"], link


def test_layers_lead_to_their_neighbours(site: Site) -> None:
    keys = [
        {given["data-key"]: given["href"] for _, given in page.tags if given.get("data-key")}
        for page in (site.get(f"/layer/{LLAMA}/{n}").page for n in (0, 1, 3))
    ]

    assert keys == [
        {"j": f"/layer/{LLAMA}/1"},
        {"k": f"/layer/{LLAMA}/0", "j": f"/layer/{LLAMA}/2"},
        {"k": f"/layer/{LLAMA}/2"},
    ]


def test_a_random_neuron_is_one_of_the_model(site: Site) -> None:
    answer = site.get(f"/random/{LLAMA}")

    assert answer.status == 302
    assert re.fullmatch(rf"/neuron/{LLAMA}/[0-3]\.[0-9]{{1,2}}", answer.headers["location"])


def test_figures_of_the_pages_are_there(site: Site) -> None:
    for address in (f"/model/{LLAMA}", f"/model/{GPT}", f"/layer/{LLAMA}/2", f"/layer/{GPT}/0"):
        tags = site.get(address).page.tags
        specs = [str(given["data-spec"]) for _, given in tags if given.get("data-spec")]
        assert specs
        for spec in specs:
            assert site.get(f"{spec}&theme=dark").json["$schema"], spec


# --- odd databases ---------------------------------------------------------------------------

HOSTILE = "<script>alert(1)</script>\u202e\x1b[31m' \" &amp;"


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A database of hostile names, and a model of which nothing but the name is there."""
    path = tmp_path_factory.mktemp("odd") / "odd.name.db"
    build(path)
    engine = connect(parse_url(str(path)), writing=True)
    with engine.begin() as connection:
        m, t = tables.models, tables.tokens
        connection.execute(update(m).where(m.c.model_id == 1).values(name=HOSTILE, source=HOSTILE))
        connection.execute(update(t).where(t.c.token_id == 3).values(token=HOSTILE * 40))
        bare = {"name": "a/b.json", "source": "s", "architecture": "llama", "gated": True}
        bare |= {"model_id": 9, "activation": "silu", "n_layers": 2, "d_model": 4, "d_mlp": 8}
        bare |= {"d_vocab": 5, "fingerprint": "f", "first_neuron_id": 900_000, "threshold": 0.5}
        connection.execute(insert(m).values(bare))
        connection.execute(delete(tables.activation_stats))
    engine.dispose()
    site = Site(path)
    yield site
    site.close()


def test_hostile_names_are_only_text(odd: Site) -> None:
    name = quote(HOSTILE, safe="")
    for address in ("/", f"/model/{name}", f"/layer/{name}/1", "/find?q=", f"/find?q={name}"):
        answer = odd.get(address)
        looks_right(answer, 400 if address.endswith(name) and "find" in address else 200)
        assert "<script>alert" not in answer.text
        shown = re.sub(r'<input id="q"[^>]*>', "", answer.text)  # what was typed stays as it is
        assert "\u202e" not in shown
        assert "\x1b" not in shown


def test_a_model_without_anything_says_what_is_missing(odd: Site) -> None:
    address = "/model/a%2Fb%2Ejson"
    page = looks_right(odd.get(address))

    assert page.text.count("neurondb ingest") >= 3
    assert odd.get(f"{address}.json").json["layers"] == []
    looks_right(odd.get("/layer/a%2Fb%2Ejson/1"))
    assert address in odd.get("/").page.links


def test_without_activations_nothing_is_said_of_them(odd: Site) -> None:
    page = odd.get(f"/model/{GPT}.json").json

    assert "frequency-by-class" not in [one["figure"] for one in page["panels"]]
    assert {line["freq"] for line in page["layers"]} == {None}


def test_a_database_of_any_name_has_its_tables_and_editor(odd: Site) -> None:
    page = odd.get(f"/model/{GPT}").page
    into_datasette = [link for link in page.links if link.startswith("/odd~2Ename")]

    assert len(into_datasette) > 3
    for link in into_datasette:
        assert odd.get(link).status == 200, link


def test_numbers_are_fresh_after_the_database_was_written_to(tmp_path: Path) -> None:
    path = tmp_path / "n.db"
    build(path)
    site = Site(path)
    before = site.get("/index.json").json["models"][0]["classes"]
    engine = connect(parse_url(str(path)), writing=True)
    with engine.begin() as connection:
        connection.execute(update(tables.classes).values(class_id=7))
    after = site.get("/index.json").json["models"][0]["classes"]
    engine.dispose()
    site.close()

    assert len(before) > 1
    assert after == [{"class_name": "weakening", "n": NEURONS}]
