"""The SQL under the panels of the neuron page returns what they show, and reads no large table."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tests.neurondb.explore.site_client import Site, looks_right
from tests.support.sample_concepts import CLAMP_RUN, CONCEPT_RUN
from tests.support.sample_facts import WIDTH, Sample
from tests.support.sample_runs import ENTROPY_RUN, GENERATION_RUN

NAME = "2.0"
"""A neuron with examples, controls and traces."""
KEY = 2 * WIDTH
ADDRESS = f"/neuron/sample-llama/{NAME}"
UNGATED = f"/neuron/sample-gpt/{NAME}"
SAID = f"""
INSERT INTO annotations VALUES (1, {KEY}, 'me', 'label', 'dogs', NULL, NULL);
INSERT INTO annotations VALUES (2, {KEY}, 'p', 'explanation', 'fires on dogs', NULL, NULL);
INSERT INTO explanations (neuron_id, source, evidence, command, seconds, tool_version, created_at)
VALUES ({KEY}, 'p', 'e', 'p', 1, '0', '2026-01-01T00:00:00+00:00');
INSERT INTO explanation_scores SELECT {KEY}, 'p', key, sign_case, scorer, texts, version, controls,
  seed, true_positives, false_positives, true_negatives, false_negatives, unanswered,
  balanced_accuracy, "precision", recall, command, seconds, tool_version, created_at
FROM explanation_scores WHERE neuron_id = 0;"""
"""What somebody and a program say of it; the score is one of the sample's."""
Change = Callable[[str], Site]


Rows = list[tuple[Any, ...]]


def columns(rows: list[dict[str, Any]], *names: str) -> Rows:
    """Return some columns of what the SQL or the page's JSON has."""
    return [tuple(row[name] for name in names) for row in rows]


def spread(row: dict[str, Any], *quantities: str) -> dict[str, Any]:
    """Return a row of the page's JSON with `pre: {mean: …}` as `pre_mean: …`, as tables have it."""
    flat = {name: value for name, value in row.items() if name not in quantities}
    return flat | {f"{q}_{name}": value for q in quantities for name, value in row[q].items()}


def examples(window_list: dict[str, Any]) -> Rows:
    """Return all examples of a list of the page, those folded into others too."""
    every = [x for window in window_list["windows"] for x in (window, *window["twins"])]
    return sorted(columns(every, "rank", "value", "position", "ordinal", "text_id"))


def weights_shown(content: dict[str, Any]) -> dict[str, Rows]:
    """Return the rows that the panels about the weights show, as their SQL returns them."""
    who, cosines = content["identity"], content["cosines"]
    values = {one["pair"]: one["value"] for one in cosines}
    of_overview = [who["model"], who["name"], content["verdict"]["read_write"]["name"]]
    of_overview += [values.get("gate_in"), values.get("gate_out"), values["in_out"]]
    of_overview += [who["gate_norm"], who["in_norm"], who["out_norm"], who["penalty"], who["sign"]]
    return {
        "overview": [tuple(of_overview)],
        "cosines": sorted(
            (one["pair"], region["kind"], region["low"], region["high"], one["value"])
            for one in cosines
            for region in one["regions"]
        ),
        "tokens": sorted(
            (one["vector"], one["direction"], *row)
            for one in content["vocabulary"]["lists"]
            for row in columns(one["tokens"], "rank", "token", "cosine", "dot")
        ),
        "moments": columns(content["vocabulary"]["moments"], *MOMENTS),
        "effects": columns(content["properties"], *EFFECTS),
        "counterparts": columns(content["counterparts"], *COSINES, "moved"),
    }


MOMENTS = ("vector", "mean", "variance", "skewness", "kurtosis", "dot_variance", "null_share")
EFFECTS = ("property", "effect", "inside_mean", "outside_mean")
COSINES = ("gate_cosine", "in_cosine", "out_cosine")
OVERVIEW: tuple[str, ...] = (
    "model",
    "name",
    "class",
    "gate_in",
    "gate_out",
    "in_out",
    "gate_norm",
    "in_norm",
)
OVERVIEW += ("out_norm", "penalty", "sign")
CASES: tuple[str, ...] = ("sign_case", "count", "freq")
CASES += tuple(
    f"{q}_{x}" for q in ("post", "pre_linear", "pre", "swish") for x in ("mean", "min", "max")
)
STATS: tuple[str, ...] = (
    "n_tokens",
    "freq",
    "post_positive",
    "n_nonfinite",
    "pre_mean",
    "pre_kurtosis",
)
STATS += ("post_mean", "post_variance", "post_skewness")
LABELS = ("label", "n_tokens", "freq", "pre_mean", "post_mean", "post_positive")
TOKEN_STATS = ("rank", "token_id", "token", "mean", "freq", "n")
REMOVAL = ("metric", "n", "mean", "std", "changed", "estimate")
ABLATIONS = ("mode", "condition", "value", "metric", "filter", "n", "mean", "std", "q50")
PEAKS = ("sign_case", "place", "rank", "token", "count", "list_size", "value")
EXAMPLES = ("rank", "value", "position", "ordinal", "text_id")
FAMILIES = ("sign_case", "rank", "family", "test", "score", "sign", "inside_mean", "share")


def texts_shown(content: dict[str, Any]) -> dict[str, Rows]:
    """Return the rows that the panels about texts show, as their SQL returns them."""
    acts = content["activations"]
    cases = [spread(one, "post", "pre_linear", "pre", "swish") for one in acts["cases"]]
    return {
        "cases": columns(cases, *CASES),
        "activations": columns([spread(acts, "pre", "post")], *STATS),
        "labels": sorted(columns(acts["labels"], *LABELS)),
        "token_stats": sorted(
            (one["place"], *row)
            for one in content["token_stats"]
            for row in columns(one["tokens"], *TOKEN_STATS)
        ),
        "peaks": sorted(
            (
                one["sign_case"],
                place,
                rank,
                token["token"],
                token["count"],
                one["n_examples"],
                token["value"],
            )
            for one in content["peaks"]
            for place in ("peak", "previous", "next")
            for rank, token in enumerate(one[place])
        ),
        "examples": examples(content["examples"]),
        "controls": sorted(
            (one["title"], *row) for one in content["controls"] for row in examples(one)
        ),
        "removal": sorted(columns(content["removal"]["metrics"], *REMOVAL)),
        "ablations": columns(content["ablations"], *ABLATIONS),
        "explanations": [
            (one["source"], one["key"], one["text"], score["balanced_accuracy"])
            for one in content["explanations"]
            for score in one["scores"]
        ],
        "annotations": columns(content["annotations"], "source", "key", "value", "note", "made_at"),
        "concepts": [
            (one["run_id"], one["concept"], *(one["tried"][name] for name in TRIED))
            for one in content["concepts"]
        ],
        "clamps": sorted(
            (sweep["run"]["run_id"], probability)
            for sweep in content["clamps"]
            for target in sweep["targets"]
            for probability in (target["clean"], *target["probabilities"])
        ),
        "entropy": sorted(
            (one["run"]["run_id"], metric, one["value"], total, one["direct"][metric])
            for one in content["entropy"]
            for metric, total in one["total"].items()
        ),
        "families": columns(content["families"]["explanations"], *FAMILIES),
        "generations": [
            (one["run"]["run_id"], one["run"]["prompt"], int(one["ablated"]), one["value"])
            for one in content["generations"]
        ],
        "heads": [heads_row(one) for one in content["heads"]],
        "universality": columns(content["universality"]["matches"], *MATCHES),
    }


def heads_row(one: dict[str, Any]) -> tuple[Any, ...]:
    """Return a head as its SQL has it."""
    pair, ablation = one["pair"], one["ablation"] or {}
    changes = (ablation.get(name) for name in ABLATED)
    name = f"{pair['head_layer']}.{pair['head']}"
    return (name, pair["score"], pair["standardised"], pair["head_rank"], *changes)


ABLATED = ("n_firing", "firing_bos_change", "firing_norm_change")
MATCHES = ("other", "best", "correlation", "baseline", "lowest", "lowest_correlation")
TRIED = ("rank", "vector", "direction", "cosine", "low", "low_change", "high", "high_change")
HELD = f"""
    INSERT OR REPLACE INTO clamp_run_neurons VALUES ({CLAMP_RUN + 10}, {KEY}, 0.5);
    INSERT OR REPLACE INTO concept_candidates
    VALUES ({CONCEPT_RUN + 1}, {KEY}, 0, 'gate', 'token 1', -0.5, -2, 2, 0.25, -1, 0.1, 0.2, 0, 0,
            0.25, 20, 3);
    INSERT OR REPLACE INTO entropy_neurons VALUES ({ENTROPY_RUN + 1}, {KEY}, 9, 0);
    INSERT OR REPLACE INTO entropy_results VALUES
    ({ENTROPY_RUN + 1}, {KEY}, 2, 'scale', 4.0, 2.5, 2.25),
    ({ENTROPY_RUN + 1}, {KEY}, 2, 'entropy', 4.0, 3.5, 2.75);
    INSERT OR REPLACE INTO generation_neurons VALUES ({GENERATION_RUN + 1}, {KEY}, -7.5, 0);
"""

RETURNED = {
    "overview": OVERVIEW,
    "cosines": ("pair", "kind", "low", "high", "cosine"),
    "tokens": ("vector", "direction", "rank", "token", "cosine", "dot"),
    "moments": MOMENTS,
    "effects": EFFECTS,
    "counterparts": (*COSINES, "moved"),
    "cases": CASES,
    "activations": STATS,
    "labels": LABELS,
    "token_stats": ("place", *TOKEN_STATS),
    "peaks": PEAKS,
    "examples": EXAMPLES,
    "controls": ("kind", *EXAMPLES),
    "removal": REMOVAL,
    "ablations": ABLATIONS,
    "explanations": ("source", "key", "value", "balanced_accuracy"),
    "annotations": ("source", "key", "value", "note", "made_at"),
    "concepts": ("run_id", "concept", *TRIED),
    "clamps": ("run_id", "probability"),
    "entropy": ("run_id", "metric", "value", "total", "direct"),
    "generations": ("run_id", "prompt", "ablated", "value"),
    "heads": ("head_name", "score", "standardised", "head_rank", *ABLATED),
    "families": FAMILIES,
    "universality": (
        *("other_model", "best_name", "correlation", "baseline", "lowest_name", "lowest"),
    ),
}
"""Panel → the columns of its SQL that the page shows."""
SORTED = (
    *("cosines", "tokens", "peaks", "labels", "token_stats", "controls", "removal"),
    *("clamps", "entropy"),
)
"""Panels that show rows in an order of their own."""


def test_every_panels_sql_returns_its_rows(changed: Change, ablation: str) -> None:
    found = changed(ablation + HELD + SAID)
    content = found.get(f"{ADDRESS}.json").json
    shown = weights_shown(content) | texts_shown(content)
    assert content["sql"].keys() == {"layer", *shown} == {"layer", *RETURNED}
    for panel, expected in shown.items():
        rows = columns(found.rows_of(content["sql"][panel]), *RETURNED[panel])
        assert rows, panel
        assert (sorted(rows) if panel in SORTED else rows) == expected, panel
    layer = found.rows_of(content["sql"]["layer"])
    assert [row["name"] for row in layer] == [f"2.{i}" for i in range(WIDTH)]


def test_the_sql_of_an_ungated_neuron_returns_its_rows(site: Site) -> None:
    content = site.get(f"{UNGATED}.json").json
    shown = weights_shown(content)
    for panel in ("overview", "tokens", "moments"):
        rows = columns(site.rows_of(content["sql"][panel]), *RETURNED[panel])
        assert (sorted(rows) if panel in SORTED else rows) == shown[panel], panel
    returned = {row["pair"] for row in site.rows_of(content["sql"]["cosines"])}
    assert returned == {"in_out"}


def test_every_panels_sql_opens_in_the_editor(site: Site) -> None:
    links = looks_right(site.get(ADDRESS)).links
    editors = [link for link in links if "?sql=SELECT" in link and ".csv?" not in link]
    assert (
        len(editors) == len(site.get(f"{ADDRESS}.json").json["sql"]) - 7
    )  # none is stored of seven
    for link in editors:
        assert site.get(link.replace("?sql=", ".json?sql=")).json["rows"], link


BULK: tuple[str, ...] = (
    "top_token_rows",
    "example_rows",
    "control_example_rows",
    "trace_rows",
    "label_stats",
    "peak_token_rows",
)
BULK += ("sign_case_rows", "activation_stats", "vocab_stat_rows", "property_effects", "classes")
BULK += ("token_stat_rows", "neighbour_rows", "connection_rows")
BULK += ("neuron_families", "position_information")
BULK += ("neurons", "cosines", "comparison_neurons", "texts", "text_token_ids", "tokens")


@pytest.mark.parametrize("address", [ADDRESS, UNGATED, "/token/sample-llama/3"])
def test_no_statement_goes_through_a_large_table(
    site: Site, sample: Sample, tmp_path: Path, address: str
) -> None:
    unmeasured = shutil.copy(sample.path, tmp_path / "unmeasured.db")
    with closing(sqlite3.connect(unmeasured)) as connection:  # it knows that its tables are tiny
        connection.executescript("DROP TABLE sqlite_stat1")
    from neurondb.explore.site import find_site

    found = find_site(site.datasette)
    assert found is not None
    asked: list[tuple[str, Any]] = []

    def listen(_c: Any, _cursor: Any, statement: str, values: Any, *_more: Any) -> None:
        asked.append((statement, values))

    event.listen(found.engine, "before_cursor_execute", listen)
    try:
        assert site.get(address).status == 200
    finally:
        event.remove(found.engine, "before_cursor_execute", listen)
    selects = [one for one in asked if one[0].lstrip().upper().startswith("SELECT")]
    assert len(selects) > 5
    with closing(sqlite3.connect(unmeasured)) as connection:
        for statement, values in selects:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
            through = [step[3].split()[1] for step in plan if step[3].startswith("SCAN")]
            assert not set(through) & set(BULK), (statement, plan)
