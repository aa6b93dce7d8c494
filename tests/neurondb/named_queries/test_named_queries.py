"""Every named query runs, and says what the same rows say in plain Python."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, create_engine, text

from neurondb import named_queries
from neurondb.schema import codes
from neurondb.sql import open_engine
from neurondb.taxonomy import CLASSES
from tests.support.sample_concepts import CONCEPT
from tests.support.sample_database import build
from tests.support.sample_facts import DATASET, LABELS, REGION, TEXTS, TOP, WIDTH, Row, Sample

LLAMA, GPT = "sample-llama", "sample-gpt"
ARGUMENTS: Mapping[str, dict[str, str]] = {
    "examples-of-neuron": {"model": LLAMA, "layer": "1", "neuron": "1"},
    "properties-of-neuron": {"model": LLAMA, "layer": "1", "neuron": "1"},
    "labels-of-neuron": {"model": LLAMA, "layer": "1", "neuron": "1"},
    "sign-cases-of-neuron": {"model": LLAMA, "layer": "1", "neuron": "1"},
    "peak-tokens-of-neuron": {"model": LLAMA, "layer": "1", "neuron": "1"},
    "neurons-firing-on-token": {"token": " dog"},
    "token-stats-of-neuron": {"model": LLAMA, "layer": "1", "neuron": "0"},
    "neurons-for-token": {"token": " dog"},
    "concept-neurons": {"concept": CONCEPT},
    "families-of-neuron": {"model": LLAMA, "layer": "1", "neuron": "7"},
    "family-neurons": {"family": "unigram"},
    "neurons-encoding-token": {"token": " dog"},
    "connections-of-neuron": {"model": LLAMA, "layer": "1", "neuron": "1"},
    "kept-top-tokens": {"base": LLAMA, "tuned": GPT},
}


def ask(engine: Engine, name: str, **given: str) -> list[Row]:
    rows = named_queries.run(engine, name, given)
    return [dict(zip(rows.columns, row, strict=True)) for row in rows.rows]


def by_layer(sample: Sample, model: str) -> dict[int, list[Row]]:
    layers: dict[int, list[Row]] = defaultdict(list)
    for row in sample.neurons:
        if row["model"] == model:
            layers[row["layer"]].append(row)
    return layers


def known(rows: list[Row], column: str) -> list[float]:
    return [row[column] for row in rows if row[column] is not None]


@pytest.mark.parametrize("name", named_queries.list_names())
def test_query_is_described_and_answers(sample_engine: Engine, name: str) -> None:
    query = named_queries.load(name)
    assert query.title
    assert query.description
    assert ask(sample_engine, name, **ARGUMENTS.get(name, {}))


@pytest.mark.parametrize(
    "name",
    [
        n
        for n in named_queries.list_names()
        if "[model]" in [p.usage for p in named_queries.load(n).parameters]
    ],
)
def test_a_model_narrows_the_answer_to_its_rows(sample_engine: Engine, name: str) -> None:
    arguments = dict(ARGUMENTS.get(name, {}))
    if any(p.name == "limit" for p in named_queries.load(name).parameters):
        arguments["limit"] = "100000"
    everything = ask(sample_engine, name, **arguments)
    for model in (LLAMA, GPT):
        expected = [row for row in everything if row["model"] == model]
        assert ask(sample_engine, name, **arguments, model=model) == expected


def test_weakening_often(sample: Sample, sample_engine: Engine) -> None:
    rows = ask(sample_engine, "weakening-often", freq="0.3")
    expected = [
        r for r in sample.neurons if r["class"] == "weakening" and r["freq"] and r["freq"] > 0.3
    ]
    expected.sort(key=lambda r: (-r["freq"], r["neuron_id"]))
    assert [(r["model"], r["name"]) for r in rows] == [(r["model"], r["name"]) for r in expected]


def test_class_counts_by_layer(sample: Sample, sample_engine: Engine) -> None:
    for row in ask(sample_engine, "class-counts-by-layer"):
        counts = Counter(r["class"] for r in by_layer(sample, row["model"])[row["layer"]])
        for name in (*(c.name for c in CLASSES), "undefined"):
            assert row[name.replace(" ", "_")] == counts[name]


def test_median_cosines_by_layer(sample: Sample, sample_engine: Engine) -> None:
    rows = ask(sample_engine, "median-cosines-by-layer")
    assert len(rows) == 4 * 3 + 4
    for row in rows:
        values = known(by_layer(sample, row["model"])[row["layer"]], row["pair"])
        quartiles = np.quantile(values, [0.25, 0.5, 0.75])
        assert row["n"] == len(values)
        assert [row["q25"], row["median"], row["q75"]] == pytest.approx(quartiles, abs=1e-12)
        assert (row["random_low"], row["random_high"]) == (-REGION, REGION)


def frequency(row: Row) -> float:
    return float(row["post_positive"] if row["freq"] is None else row["freq"])


def test_freq_vs_cosines_by_layer(sample: Sample, sample_engine: Engine) -> None:
    rows = ask(sample_engine, "freq-vs-cosines-by-layer")
    assert len(rows) == 8
    for row in rows:
        kept = [r for r in by_layer(sample, row["model"])[row["layer"]] if r["in_out"] is not None]
        r = np.corrcoef([frequency(r) for r in kept], [r["in_out"] for r in kept])[0, 1]
        assert row["pearson_r"] == pytest.approx(r, abs=1e-12)


def test_freq_by_class_against_the_expected_random_draw(
    sample: Sample, sample_engine: Engine
) -> None:
    _check_freq_by_class(sample, sample_engine)


def test_freq_by_class_compares_only_layers_that_have_others(tmp_path: Path) -> None:
    """A layer of one class only, one with a single other neuron, and a model of one class."""
    sample = build(tmp_path / "sample.db")
    whole = [r for r in sample.neurons if r["model"] == GPT or r["layer"] == 0]
    nearly = [r for r in sample.neurons if r["model"] == LLAMA and r["name"].startswith("1.")][1:]
    engine = create_engine(f"sqlite:///{sample.path}")
    with engine.begin() as connection:
        for row in (*whole, *nearly):
            row["class"] = "orthogonal output"
            statement = "UPDATE classes SET class_id = 6 WHERE neuron_id = :neuron_id"
            connection.execute(text(statement), {"neuron_id": row["neuron_id"]})
    engine.dispose()
    with open_engine(sample.url) as engine:
        rows = _check_freq_by_class(sample, engine)
    alone = next(row for row in rows if row["model"] == GPT)
    assert (alone["n"], alone["n_compared"], alone["n_outside"]) == (256, 0, 0)
    assert (alone["freq_compared"], alone["baseline_freq"]) == (None, None)
    orthogonal = next(r for r in rows if r["model"] == LLAMA and r["class"] == "orthogonal output")
    assert orthogonal["n"] == orthogonal["n_compared"] + WIDTH


def _check_freq_by_class(sample: Sample, engine: Engine) -> list[Row]:
    rows = ask(engine, "freq-by-class")
    for row in rows:
        members: list[float] = []
        compared: list[tuple[float, float]] = []
        n_outside = 0
        for neurons in by_layer(sample, row["model"]).values():
            inside = [frequency(r) for r in neurons if r["class"] == row["class"]]
            others = [frequency(r) for r in neurons if r["class"] != row["class"]]
            members += inside
            if inside and others:
                compared += [(freq, statistics.fmean(others)) for freq in inside]
                n_outside += len(others)
        counts = (len(members), len(compared), n_outside)
        assert (row["n"], row["n_compared"], row["n_outside"]) == counts
        assert row["freq"] == pytest.approx(statistics.fmean(members))
        if compared:
            means = [statistics.fmean(column) for column in zip(*compared, strict=True)]
            assert [row["freq_compared"], row["baseline_freq"]] == pytest.approx(means)
    return rows


def test_input_manipulators(sample: Sample, sample_engine: Engine) -> None:
    for row in ask(sample_engine, "input-manipulators"):
        layer = by_layer(sample, row["model"])[row["layer"]]
        classes = [r["class"] for r in layer if r["class"] != "undefined"]
        share = sum(name != "orthogonal output" for name in classes) / len(classes)
        assert row["share"] == pytest.approx(share)


def test_prototypical_neurons(sample: Sample, sample_engine: Engine) -> None:
    zero = {
        "conditional strengthening": "gate_out",
        "conditional weakening": "gate_out",
        "proportional change": "in_out",
    }
    rows = ask(sample_engine, "prototypical-neurons", model=LLAMA, top="2")
    for name in ("strengthening", "weakening", *zero):
        candidates = [
            r
            for r in sample.neurons
            if r["model"] == LLAMA
            and r["class"] == name
            and (name not in zero or abs(r[zero[name]]) <= REGION)
        ]
        score = "gate_out" if name == "proportional change" else "in_out"
        candidates.sort(key=lambda r: (-abs(r[score]), r["neuron_id"]))
        found = [r["name"] for r in rows if r["class"] == name]
        assert found == [r["name"] for r in candidates[:2]]


@pytest.mark.parametrize("pair", ["gate_in", "gate_out", "in_out"])
def test_strongest_cosines(sample: Sample, sample_engine: Engine, pair: str) -> None:
    rows = ask(sample_engine, "strongest-cosines", pair=pair, limit="1000")
    outside = [r for r in sample.neurons if r[pair] is not None and abs(r[pair]) > REGION]
    outside.sort(key=lambda r: (-abs(r[pair]), r["neuron_id"]))
    assert [(r["model"], r["name"]) for r in rows] == [(r["model"], r["name"]) for r in outside]


def test_dead_neurons(sample: Sample, sample_engine: Engine) -> None:
    dead = {(r["model"], r["name"]) for r in sample.neurons if frequency(r) == 0}
    assert {(r["model"], r["name"]) for r in ask(sample_engine, "dead-neurons")} == dead


def test_examples_of_neuron(sample: Sample, sample_engine: Engine) -> None:
    arguments = ARGUMENTS["examples-of-neuron"] | {"case": "gate-_in+", "chars": "7"}
    rows = ask(sample_engine, "examples-of-neuron", **arguments)
    list_id = codes.encode_example_list(2, 0)
    neuron_id = sample.named(LLAMA, "1.1")["neuron_id"]
    stored = [e for e in sample.examples if (e["neuron_id"], e["list_id"]) == (neuron_id, list_id)]
    assert [(r["rank"], r["value"], r["position"], r["text_start"]) for r in rows] == [
        (e["rank"], e["value"], e["position"], TEXTS[e["text_id"] - 1][:7]) for e in stored
    ]


def test_sign_cases_of_neuron(sample: Sample, sample_engine: Engine) -> None:
    rows = ask(sample_engine, "sign-cases-of-neuron", **ARGUMENTS["sign-cases-of-neuron"])
    neuron_id = sample.named(LLAMA, "1.1")["neuron_id"]
    stored = {c["sign_case_id"]: c for c in sample.cases if c["neuron_id"] == neuron_id}
    assert len(rows) == 4
    for row in rows:
        case = stored[codes.SIGN_CASES.index(row.pop("sign_case"))]
        assert row == {name: case[name] for name in row}
        assert case["dataset_id"] == DATASET


def test_labels_of_neuron(sample: Sample, sample_engine: Engine) -> None:
    rows = ask(sample_engine, "labels-of-neuron", **ARGUMENTS["labels-of-neuron"])
    neuron_id = sample.named(LLAMA, "1.1")["neuron_id"]
    stored = [one for one in sample.labels if one["neuron_id"] == neuron_id]
    stored.sort(key=lambda one: -one["freq"])
    assert [row.pop("label") for row in rows] == [LABELS[one["label_id"] - 1] for one in stored]
    for row, one in zip(rows, stored, strict=True):
        assert row == {name: one[name] for name in row}


@pytest.mark.parametrize("token", [" dog", "\n", "'"])
def test_neurons_for_token(sample: Sample, sample_engine: Engine, token: str) -> None:
    rows = ask(
        sample_engine,
        "neurons-for-token",
        token=token,
        vector="in",
        direction="bottom",
        limit="999",
    )
    code = codes.encode_token_list(1, 0, 1)
    expected = {
        (r["model"], r["name"], sample.top[r["neuron_id"], code].index(token))
        for r in sample.neurons
        if token in sample.top[r["neuron_id"], code]
    }
    assert {(r["model"], r["name"], r["rank"]) for r in rows} == expected
    assert [r["rank"] for r in rows] == sorted(r["rank"] for r in rows)
    for r in rows:
        norms = (
            sample.named(r["model"], r["name"])["in_norm"],
            sample.norms[r["model"], token, "unembed"],
        )
        assert r["dot"] == pytest.approx(r["cosine"] * norms[0] * norms[1])


def test_neurons_encoding_token(sample: Sample, sample_engine: Engine) -> None:
    rows = ask(sample_engine, "neurons-encoding-token", token=" dog")
    expected = {
        (r["model"], r["name"], side)
        for r in sample.neurons
        for side, token in zip(codes.SIDES, sample.heads(r["neuron_id"]), strict=False)
        if token == " dog"
    }
    assert {(r["model"], r["name"], r["side"]) for r in rows} == expected
    assert {side for *_, side in expected} == {1, -1}


def test_kept_top_tokens(sample: Sample, sample_engine: Engine) -> None:
    rows = ask(sample_engine, "kept-top-tokens", base=LLAMA, tuned=GPT)
    first = {model: sample.named(model, "0.0")["neuron_id"] for model in (LLAMA, GPT)}
    for row in rows:
        places = range(row["layer"] * WIDTH, (row["layer"] + 1) * WIDTH)
        kept = sum(sample.head[first[LLAMA] + i] == sample.head[first[GPT] + i] for i in places)
        assert (row["n"], row["kept"]) == (WIDTH, kept)
        assert row["share"] == pytest.approx(kept / WIDTH)


def test_double_checking(sample: Sample, sample_engine: Engine) -> None:
    gate, same, opposite = (
        codes.encode_token_list(*place) for place in ((0, 0, 0), (1, 0, 0), (1, 0, 1))
    )
    expected = {}
    for r in sample.neurons:
        if r["gate_in"] is None or abs(r["gate_in"]) > 0.2:
            continue
        tops = {code: set(sample.top[r["neuron_id"], code]) for code in (gate, same, opposite)}
        shared = {
            sign: len(tops[gate] & tops[code]) for sign, code in (("+", same), ("-", opposite))
        }
        sign = max(shared, key=lambda sign: (shared[sign], sign == "+"))
        if shared[sign]:
            expected[r["name"]] = (sign, shared[sign], shared[sign] / (2 * TOP - shared[sign]))
    rows = ask(sample_engine, "double-checking", near_zero="0.2", overlap="0", limit="999")
    assert {r["name"]: (r["sign"], r["shared_tokens"], r["jaccard"]) for r in rows} == expected
    layer = ask(
        sample_engine, "double-checking", near_zero="0.2", overlap="0.2", limit="999", layer="2"
    )
    strong = {n for n, found in expected.items() if n.startswith("2.") and found[2] >= 0.2}
    assert {r["name"] for r in layer} == strong


def test_double_checking_orders_by_overlap(sample: Sample, sample_engine: Engine) -> None:
    rows = ask(sample_engine, "double-checking", near_zero="1", overlap="0", limit="5")
    overlaps = sorted((d["jaccard"] for d in sample.double.values()), reverse=True)
    assert [r["jaccard"] for r in rows] == sorted((r["jaccard"] for r in rows), reverse=True)
    assert rows[0]["jaccard"] <= overlaps[0]
    assert len(rows) == 5


def test_entropy_candidates(sample: Sample, sample_engine: Engine) -> None:
    rows = ask(sample_engine, "entropy-candidates", layers="1", limit="1000")
    scores = {
        (r["model"], r["name"]): r["out_norm"] / r["out_variance"] ** 0.5
        for r in sample.neurons
        if r["layer"] == 3 and r["out_variance"]
    }
    found = {(r["model"], r["name"]): r["score"] for r in rows if r["score"] is not None}
    assert found == pytest.approx(scores)
    assert len(rows) == 2 * WIDTH
    order = [r["score"] for r in rows if r["score"] is not None]
    assert order == sorted(order, reverse=True)


def test_entropy_candidates_narrowed(sample: Sample, sample_engine: Engine) -> None:
    bounds = {"min_norm": "1", "max_variance": "0.5", "min_null_share": "0.4"}
    rows = ask(sample_engine, "entropy-candidates", layers="2", limit="1000", **bounds)
    expected = {
        (r["model"], r["name"], r["null_share"])
        for r in sample.neurons
        if r["layer"] >= 2
        and r["out_norm"] >= 1
        and r["out_variance"] <= 0.5
        and r["null_share"] >= 0.4
    }
    assert {(r["model"], r["name"], r["null_share"]) for r in rows} == expected
    assert len(expected) > 5


def test_roles_are_those_of_the_overview(sample: Sample, sample_engine: Engine) -> None:
    rows = ask(sample_engine, "roles")
    expected = {(r["model"], r["name"]): r["role"] for r in sample.neurons if r["role"]}
    assert {(r["model"], r["name"]): r["role"] for r in rows} == expected


@pytest.mark.parametrize("of", ["dot", "cosine"])
@pytest.mark.parametrize("partition", ["threshold", "largest"])
def test_roles_by_either_rule(
    sample: Sample, sample_engine: Engine, partition: str, of: str
) -> None:
    column = "out_dot_variance" if of == "dot" else "out_variance"
    given = {
        "kurtosis": "11",
        "variance": "0.006",
        "largest": "20",
        "partition": partition,
        "of": of,
    }
    rows = ask(sample_engine, "roles", model=LLAMA, **given)

    neurons = [r for r in sample.neurons if r["model"] == LLAMA]
    by_size = sorted(neurons, key=lambda r: (-r[column], r["neuron_id"]))
    largest = {r["name"] for r in by_size[:20]}
    expected = {}
    for r in neurons:
        large = r["name"] in largest if partition == "largest" else r[column] > 0.006
        if r["out_kurtosis"] > 11 and r["out_skewness"]:
            expected[r["name"]] = "prediction" if r["out_skewness"] > 0 else "suppression"
        elif large:
            expected[r["name"]] = "partition"
    assert {r["name"]: r["role"] for r in rows} == expected
    only = ask(sample_engine, "roles", model=LLAMA, role="suppression", **given)
    suppressing = [name for name, role in expected.items() if role == "suppression"]
    assert [r["name"] for r in only] == suppressing


def test_roles_by_layer(sample: Sample, sample_engine: Engine) -> None:
    for row in ask(sample_engine, "roles-by-layer"):
        counts = Counter(r["role"] for r in by_layer(sample, row["model"])[row["layer"]])
        found = (row["prediction"], row["suppression"], row["partition"])
        assert found == (counts["prediction"], counts["suppression"], counts["partition"])
