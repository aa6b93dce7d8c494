"""The neuron page: its numbers are the records', nothing in it acts, gaps are said."""

import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from neurondb.schema import codes
from tests.neurondb.explore.site_client import Site, looks_right
from tests.support.places import find_place
from tests.support.sample_facts import TEXT_TOKENS, TEXTS, WIDTH, Sample

NAME = "2.0"
"""A neuron with examples, controls and traces."""
KEY = 2 * WIDTH
ADDRESS = f"/neuron/sample-llama/{NAME}"
UNGATED = f"/neuron/sample-gpt/{NAME}"
SCRIPT = "<script>alert('x')</script>"

Change = Callable[[str], Site]


def rows(sample: Sample, sql: str, *values: object) -> list[Any]:
    with closing(sqlite3.connect(sample.path)) as connection:
        return connection.execute(sql, values).fetchall()


def of_classes(site: Site, address: str, name: str) -> list[dict[str, str | None]]:
    """Return the attributes of every element that has a CSS class."""
    tags = looks_right(site.get(address)).tags
    return [given for _, given in tags if name in str(given.get("class") or "").split()]


def test_the_page_says_what_the_overview_says(site: Site, sample: Sample) -> None:
    neuron = sample.named("sample-llama", NAME)
    page = looks_right(site.get(ADDRESS))
    for pair in ("gate_in", "gate_out", "in_out"):
        assert f"{neuron[pair]:+.4f}" in page.text
    assert neuron["class"] in page.text
    assert f"fires on {neuron['freq']:.2%} of tokens" in page.text
    if neuron["role"]:
        assert neuron["role"] in page.text


def test_each_sign_case_has_its_share_and_statistics(site: Site, sample: Sample) -> None:
    found = site.get(f"{ADDRESS}.json").json["activations"]["cases"]
    expected = [case for case in sample.cases if case["neuron_id"] == KEY]
    assert [case["freq"] for case in found] == [case["freq"] for case in expected]
    for one, case in zip(found, expected, strict=True):
        for quantity in codes.QUANTITY_COLUMNS:
            for statistic in ("mean", "min", "max"):
                assert one[quantity][statistic] == case[f"{quantity}_{statistic}"]
    text = looks_right(site.get(ADDRESS)).text
    for case in expected:
        assert f"{case['freq']:.2%}" in text


def test_one_sign_case_is_called_the_most_frequent_and_one_the_strongest(
    site: Site,
) -> None:
    page = looks_right(site.get(ADDRESS)).text
    assert page.count("most frequent") == page.count(" · strongest") == 1


@pytest.mark.parametrize("basis", codes.BASES)
def test_the_token_lists_are_those_of_the_basis(site: Site, sample: Sample, basis: str) -> None:
    lists = site.get(f"{ADDRESS}.json?basis={basis}").json["vocabulary"]["lists"]
    found = {
        (x["vector"], x["direction"]): [token["token"] for token in x["tokens"]] for x in lists
    }
    expected = {
        (vector, direction): sample.top[KEY, code]
        for code, vector, of_basis, direction in codes.TOKEN_LISTS
        if of_basis == basis
    }
    assert found == expected


def test_every_token_leads_to_its_page(site: Site) -> None:
    page = looks_right(site.get(ADDRESS))
    lists = site.get(f"{ADDRESS}.json").json["vocabulary"]["lists"]
    ids = {token["token_id"] for one in lists for token in one["tokens"]}
    assert {f"/token/sample-llama/{i}" for i in ids} <= set(page.links)


@pytest.mark.parametrize("case", [codes.SIGN_CASES[i] for i in codes.GATED_CASES])
@pytest.mark.parametrize("quantity", ["hook_post", "hook_pre_linear", "hook_pre"])
def test_examples_are_those_of_the_case_and_quantity(
    site: Site, sample: Sample, case: str, quantity: str
) -> None:
    code = codes.encode_example_list(codes.SIGN_CASES.index(case), codes.QUANTITIES.index(quantity))
    expected = {
        (x["rank"], x["text_id"], x["position"], x["value"])
        for x in sample.examples
        if x["neuron_id"] == KEY and x["list_id"] == code
    }
    choice = f"case={case.replace('+', '%2B')}&quantity={quantity}"
    content = site.get(f"{ADDRESS}.json?{choice}").json
    assert content["chosen"]["sign_case"] == case
    found = content["examples"]["windows"]
    everything = [one for window in found for one in (window, *window["twins"])]
    assert {(x["rank"], x["text_id"], x["position"], x["value"]) for x in everything} == expected
    page = looks_right(site.get(f"{ADDRESS}?{choice}"))
    for one in found:
        assert f"{one['value']:+.3f}" in page.text
        there = [link for link in page.links if link.startswith(f"/text/sample/{one['ordinal']}?")]
        assert any(f"position={one['position']}" in link for link in there)


def test_tokens_say_gate_in_and_post(site: Site, sample: Sample) -> None:
    window = site.get(f"{ADDRESS}.json").json["examples"]["windows"][0]
    query = "SELECT start, n_tokens, trace FROM trace_rows WHERE neuron_id = ? AND text_id = ?"
    query += " AND position = ?"
    ((start, n, packed),) = rows(sample, query, KEY, window["text_id"], window["position"])
    values = struct.unpack(f"<{3 * n}e", packed)
    assert window["trace"]["start"] == start
    for row, quantity in enumerate(("hook_pre", "hook_pre_linear", "hook_post")):
        written = [np.float16(value) for value in window["trace"][quantity]]
        assert written == list(values[row * n : (row + 1) * n])
    titles = [str(one["title"]) for one in of_classes(site, ADDRESS, "peak")]
    examples = len(site.get(f"{ADDRESS}.json").json["examples"]["windows"])
    assert all("gate " in one and "post " in one for one in titles[:examples])
    assert all(one.startswith("post ") for one in titles[examples:])  # of texts to compare with


def test_colour_is_the_value_over_the_largest_of_the_list(site: Site) -> None:
    content = site.get(f"{ADDRESS}.json").json["examples"]
    values = [v for window in content["windows"] for v in window["trace"]["hook_post"]]
    assert np.float16(content["scale"]) == np.float16(max(map(abs, values)))
    tokens = [one for one in of_classes(site, ADDRESS, "t") if one.get("title")]
    shown = {(given["class"] or "").split()[1] for given in tokens if given.get("style")}
    assert shown == {"p", "n"}
    assert any(given.get("style") == "--v:100%" for given in tokens)


def test_every_peak_has_its_next_token_marked(site: Site) -> None:
    windows = site.get(f"{ADDRESS}.json").json["examples"]["windows"]
    followed = sum(x["position"] + 1 < TEXT_TOKENS for x in windows)
    controls = [x for one in site.get(f"{ADDRESS}.json").json["controls"] for x in one["windows"]]
    followed += sum(x["position"] + 1 < TEXT_TOKENS for x in controls)
    legend = 1
    assert len(of_classes(site, ADDRESS, "peak")) == len(windows) + len(controls)
    assert len(of_classes(site, ADDRESS, "next")) == followed + legend


def test_labels_properties_and_moments_are_shown(site: Site, sample: Sample) -> None:
    content = site.get(f"{ADDRESS}.json").json
    page = looks_right(site.get(ADDRESS))
    effects = {x["property"]: x["effect"] for x in sample.effects if x["neuron_id"] == KEY}
    assert {x["property"]: x["effect"] for x in content["properties"]} == effects
    labels = [x for x in sample.labels if x["neuron_id"] == KEY]
    assert sorted(x["freq"] for x in content["activations"]["labels"]) == sorted(
        x["freq"] for x in labels
    )
    for one in labels:
        assert f"{one['freq']:.2%}" in page.text
    neuron = sample.named("sample-llama", NAME)
    out = content["vocabulary"]["moments"][2]
    assert (out["kurtosis"], out["null_share"]) == (neuron["out_kurtosis"], neuron["null_share"])


def test_counterparts_are_those_of_the_comparison(site: Site, sample: Sample) -> None:
    (found,) = site.get(f"{ADDRESS}.json").json["counterparts"]
    compared = next(x for x in sample.compared if (x["layer"], x["neuron"]) == (2, 0))
    assert found["model"] == "sample-gpt"
    assert (found["in_cosine"], found["moved"]) == (compared["in_cosine"], compared["moved"])
    assert found["class_name"] == sample.named("sample-gpt", NAME)["class"]
    (other,) = site.get(f"{UNGATED}.json").json["counterparts"]
    assert other["class_name"] == sample.named("sample-llama", NAME)["class"]


def test_ablations_of_sets_with_the_neuron_are_shown(changed: Change, ablation: str) -> None:
    found = changed(ablation)
    (one,) = found.get(f"{ADDRESS}.json").json["ablations"]
    assert (one["run"], one["set_name"], one["set_size"], one["mean"]) == (5, "mine", 2, -0.527)
    text = looks_right(found.get(ADDRESS)).text
    assert "Causal effects" in text
    assert "-0.527" in text
    assert "Causal effects" not in looks_right(found.get("/neuron/sample-llama/2.7")).text


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("/neuron/sample-llama/4.0", 404, "neuron 4.0"),
        ("/neuron/sample-llama/0.64", 404, "neuron 0.64"),
        ("/neuron/nobody/0.0", 404, "'nobody'"),
        (f"{ADDRESS}?dataset=none", 404, "'none'"),
        (f"{ADDRESS}?case=up", 400, "case 'up'"),
        (f"{ADDRESS}?quantity=up", 400, "quantity 'up'"),
        (f"{ADDRESS}?basis=up", 400, "basis 'up'"),
        (f"{UNGATED}?quantity=swish", 400, "quantity 'swish'"),
        (f"{ADDRESS}?go=up", 400, "LAYER.NEURON"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(
    site: Site, address: str, status: int, said: str
) -> None:
    assert said in looks_right(site.get(address), status).text


def test_the_first_and_the_last_neuron_end_the_walk(site: Site) -> None:
    first = site.get("/neuron/sample-llama/0.0.json").json
    last = site.get("/neuron/sample-llama/3.63.json").json
    between = site.get("/neuron/sample-llama/1.63.json").json
    assert (first["previous"], first["next"]) == (None, "0.1")
    assert (last["previous"], last["next"]) == ("3.62", None)
    assert (between["previous"], between["next"]) == ("1.62", "2.0")
    for name in ("0.0", "3.63"):
        looks_right(site.get(f"/neuron/sample-llama/{name}"))


def test_jumping_leads_to_the_neuron(site: Site) -> None:
    answer = site.get(f"{ADDRESS}?go=%203.17")
    assert (answer.status, answer.headers["location"]) == (302, "/neuron/sample-llama/3.17")


def test_an_ungated_neuron_has_no_gate(site: Site) -> None:
    content = site.get(f"{UNGATED}.json").json
    assert [x["pair"] for x in content["cosines"]] == ["in_out"]
    assert [x["sign_case"] for x in content["activations"]["cases"]] == ["in+", "in-"]
    page = looks_right(site.get(UNGATED))
    assert "gate, out" not in page.text
    assert "‖gate‖" not in page.text
    assert content["double_checking"] is None


def test_an_undefined_neuron_says_so(site: Site) -> None:
    text = looks_right(site.get("/neuron/sample-llama/2.63")).text
    assert "Undefined: a weight vector is zero" in text


def test_tokens_left_out_are_said(site: Site) -> None:
    assert "7 of 1,007 tokens are left out" in looks_right(site.get(ADDRESS)).text


def test_a_dead_neuron_is_called_dead(changed: Change) -> None:
    found = changed(
        f"""UPDATE activation_stats SET freq = 0, pre_variance = NULL, post_skewness = NULL
            WHERE neuron_id = {KEY};
            UPDATE sign_case_rows SET count = 0, freq = 0, post_mean = NULL, pre_mean = NULL,
            pre_linear_mean = NULL, swish_mean = NULL WHERE neuron_id = {KEY};
            DELETE FROM example_rows WHERE neuron_id = {KEY};"""
    )
    text = looks_right(found.get(ADDRESS)).text
    assert "Dead: fires on none of 1,000 tokens" in text
    assert "no text qualifies" in text


WEIGHTS_ONLY = """
UPDATE models SET dataset_id = NULL;
DELETE FROM activation_stats; DELETE FROM sign_case_rows; DELETE FROM example_rows;
DELETE FROM control_example_rows; DELETE FROM trace_rows; DELETE FROM label_stats;
DELETE FROM activation_histograms; DELETE FROM top_token_rows; DELETE FROM vocab_stat_rows;
DELETE FROM lm_head_tokens; DELETE FROM property_effects; DELETE FROM double_checking;
DELETE FROM tokens;
"""


def test_stages_that_are_missing_come_with_the_command(changed: Change) -> None:
    found = changed(WEIGHTS_ONLY)
    text = looks_right(found.get(ADDRESS)).text
    assert "neurondb ingest here --name sample-llama --stages vocab" in text
    assert "--stages activations --dataset TEXTS" in text
    content = found.get(f"{ADDRESS}.json").json
    assert content["vocabulary"] is None
    assert content["activations"] is None
    assert set(content["sql"]) == {
        *("overview", "cosines", "layer", "tokens", "moments", "effects", "ablations"),
        *("counterparts", "annotations", "removal", "clamps", "concepts"),
        *("entropy", "explanations", "families", "generations", "heads", "universality"),
    }


def test_a_model_without_anything_has_a_page(changed: Change) -> None:
    found = changed(
        f"""{WEIGHTS_ONLY} DELETE FROM classes; DELETE FROM cosines; DELETE FROM neurons;
            DELETE FROM baselines; DELETE FROM comparison_neurons;"""
    )
    text = looks_right(found.get(ADDRESS)).text
    assert "no class: the weights of this layer are not ingested" in text
    assert "--stages weights" in text


def test_without_traces_only_peaks_are_coloured(changed: Change) -> None:
    found = changed("DELETE FROM trace_rows;")
    assert "--stages activations,traces" in looks_right(found.get(ADDRESS)).text
    coloured = [one for one in of_classes(found, ADDRESS, "t") if one.get("style")]
    assert coloured
    assert all("peak" in str(one["class"]) for one in coloured)


def test_texts_without_tokens_are_shown_from_their_start(changed: Change) -> None:
    found = changed("DELETE FROM text_token_ids;")
    text = looks_right(found.get(ADDRESS)).text
    assert "tokens not stored" in text
    ids = {x["text_id"] for x in found.get(f"{ADDRESS}.json").json["examples"]["windows"]}
    assert 1 not in ids or TEXTS[0] in text


def test_another_dataset_is_a_link_away(changed: Change) -> None:
    found = changed(
        f"""INSERT INTO dataset_rows VALUES (2, 'second & more', 'there', 'g', 1);
            INSERT INTO activation_stats (neuron_id, dataset_id, n_tokens, freq, n_nonfinite)
            VALUES ({KEY}, 2, 4321, 0.375, 0);"""
    )
    first = looks_right(found.get(ADDRESS))
    assert f"{ADDRESS}?dataset=second%20%26%20more" in first.links
    second = looks_right(found.get(f"{ADDRESS}?dataset=second%20%26%20more"))
    assert "fires on 37.50% of tokens" in second.text
    assert "4,321 tokens" in second.text


LONG = 10_000


def hostile(kind: str) -> str:
    return {
        "script": f"'{SCRIPT.replace(chr(39), chr(39) * 2)}'",
        "overrides": "char(8238) || 'a' || char(8207) || char(8203) || char(65279) || char(27)",
        "long": f"printf('%.{LONG}c', 'w')",
        "combining": "printf('%.300s', replace(hex(zeroblob(150)), '0', char(769)))",
        "arabic": "char(1605) || char(1585) || char(1581)",
    }[kind]


@pytest.mark.parametrize("kind", ["script", "overrides", "long", "combining", "arabic"])
def test_hostile_tokens_are_inert(changed: Change, kind: str) -> None:
    spelled = hostile(kind)
    found = changed(
        f"""UPDATE tokens SET token = {spelled} || token_id, piece = {spelled};
            UPDATE models SET architecture = {spelled}, activation = {spelled};
            UPDATE labels SET label = {spelled} || label_id;
            UPDATE properties SET description = {spelled};
            UPDATE texts SET text = {spelled};
            UPDATE dataset_rows SET name = {spelled}"""
    )
    for address in (ADDRESS, "/token/sample-llama/3", "/text/1?neuron=2.0"):
        answer = found.get(address)
        assert answer.status == 200
        assert "<script>alert" not in answer.text
        assert not set("\u202e\u200f\u200b\ufeff\x1b") & set(answer.text)
        if kind != "long":
            looks_right(answer)


def test_a_page_full_of_everything_is_small(changed: Change) -> None:
    """16 examples with long windows, 16 tokens a list, 4 controls a kind, 60 properties.

    And 16 frequent tokens a place.
    """
    n_tokens = 200
    ids = struct.pack(f"<{n_tokens}I", *(i % 26 for i in range(n_tokens))).hex()
    trace = struct.pack("<84e", *((-1) ** i * (1 + i / 7) for i in range(84))).hex()
    script = [
        "DELETE FROM example_rows; DELETE FROM trace_rows; DELETE FROM control_example_rows;",
        "DELETE FROM top_token_rows; DELETE FROM texts; DELETE FROM text_token_ids;",
        "DELETE FROM token_stat_rows;",
        "UPDATE tokens SET token = ' internationalization' || token_id;",
    ]
    for text_id in range(1, 41):
        script += [
            f"INSERT INTO texts VALUES ({text_id}, 1, {text_id}, 'text', 1);",
            f"INSERT INTO text_token_ids VALUES (1, {text_id}, x'{ids}');",
            f"""INSERT INTO trace_rows VALUES ({KEY}, 1, {text_id}, {100 + text_id},
                {76 + text_id}, 28, x'{trace}');""",
        ]
    for rank in range(16):
        for case in range(4):
            place = find_place(codes.encode_example_list(case, 0), rank)
            row = f"({KEY}, 1, {place}, {rank + 1}, {101 + rank}, {(-5 + rank / 4) * 2**28})"
            script.append(f"INSERT INTO example_rows VALUES {row};")
        for place in range(3):
            script.append(
                f"INSERT INTO token_stat_rows VALUES ({KEY}, 1, {place}, {rank}, {rank}, -0.123,"
                " 0.9876, 123456);"
            )
        for code, *_ in codes.TOKEN_LISTS:
            row = f"({KEY}, {code}, {rank}, {rank}, {2**30})"
            script.append(f"INSERT INTO top_token_rows VALUES {row};")
    for kind in range(5):
        for rank in range(4):
            text_id = 17 + 4 * kind + rank
            script.append(
                f"""INSERT INTO control_example_rows VALUES ({KEY}, 1, {kind}, {rank}, {text_id},
                    {100 + text_id}, 1.5);"""
            )
    for n in range(3, 63):
        script += [
            f"INSERT INTO properties VALUES ({n}, 'property number {n}', 'described at length');",
            f"INSERT INTO property_effects VALUES ({KEY}, {n}, {n / 7}, 0.5, 0.25);",
        ]
    found = changed("\n".join(script))
    answer = found.get(ADDRESS)
    page = looks_right(answer)
    assert page.text.count("the whole window") >= 16
