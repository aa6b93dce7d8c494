"""What other programs say of a neuron goes where it belongs; what has no place is counted."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from neurondb.errors import TextError
from neurondb.exchange.imports import (
    delphi,
    neuronpedia,
    openai_records,
    storing,
    transluce,
    universal_neurons,
)
from neurondb.exchange.imports.report import ImportReport
from tests.neurondb.exchange.imports.conftest import SAID, Ask, write_lines
from tests.support.copies import contents


def test_universal_neurons_go_where_ours_do(
    store: Callable[..., ImportReport], ask: Ask, tmp_path: Path
) -> None:
    numbers = (
        "layer=1 neuron=3 max_corr=0.8 w_in_norm=0.5 input_bias=-0.25 w_out_norm=0.75 "
        "in_out_sim=-0.625 l2_penalty=0.8125 mean=-1.5 var=0.25 skew=2.0 kurt=21.0 "
        "vocab_mean=0.125 vocab_var=0.5 vocab_skew=-1.0 vocab_kurt=13.0 sparsity=0.0625"
    )
    columns = dict(number.split("=") for number in numbers.split())
    file = tmp_path / "universal.csv"
    file.write_text(f"{','.join(columns)}\n{','.join(columns.values())}\n")
    store(universal_neurons.make_reader([file], "paper"), [file], layers=2, neurons=4)
    overview = (
        "SELECT class, in_out, in_norm, out_norm, in_bias, penalty, pre_mean, pre_variance, "
        "pre_skewness, pre_kurtosis, post_positive, out_skewness, out_kurtosis, out_variance, role "
        "FROM neuron_overview WHERE name = '1.3'"
    )
    moments = (-1.5, 0.25, 2.0, 21.0, 0.0625, -1.0, 13.0, 0.5)
    weights = ("weakening", -0.625, 0.5, 0.75, -0.25, 0.8125)
    assert ask(overview) == [(*weights, *moments, "suppression")]
    assert ask("SELECT sign_case, freq, count FROM sign_cases") == [
        ("in+", 0.0625, None),
        ("in-", 0.9375, None),
    ]
    assert ask(SAID) == [(1, 3, "paper", "max_corr", "0.8", None)]


def test_a_neuron_in_two_rows_has_numbered_keys(
    store: Callable[..., ImportReport], ask: Ask, tmp_path: Path
) -> None:
    file = tmp_path / "prediction.csv"
    file.write_text("layer,neuron,feature\n0,1,all_caps\n0,1,is_year\n")
    for _ in range(2):
        store(universal_neurons.make_reader([file], "paper"), [file])
    assert [row[3:5] for row in ask(SAID)] == [("feature", "all_caps"), ("feature 2", "is_year")]


def test_entries_stored_one_by_one_are_those_stored_together(
    exported: Path, db: Path, store: Callable[..., ImportReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries of one neuron, and of one row, that wait together or not."""
    table = exported / "universal.csv"
    columns = "layer,neuron,in_out_sim,mean,var,sparsity,feature"
    rows = ["0,2,0.75,1.5,,0.25,a", "0,2,,2.5,0.5,,b", "0,0,-0.75,,,0.5,", "0,1,,,,,c"]
    table.write_text("\n".join([columns, *rows, ""]))
    found = []
    for size in (4096, 1):
        monkeypatch.setattr(storing, "FACTS_A_BATCH", size)
        name = f"of {size}"
        reader = universal_neurons.make_reader([table], "paper")
        reports = [store(reader, [table], layers=1, neurons=3, name=name)]
        files = [*neuronpedia.find_files(exported)] * 2
        reader = neuronpedia.make_reader(files, "gpt2-small-res-jb", only=True)
        reports.append(store(reader, files, "neuronpedia", layers=2, neurons=3, name=name + " np"))
        found.append([(one.rows, one.replaced, one.left_out) for one in reports])
    assert found[0] == found[1]
    rows_of = contents(db)
    for relation in ("activation_stats", "sign_case_rows", "cosines", "classes", "example_rows"):
        halves = [rows_of[relation][::2], rows_of[relation][1::2]]
        assert len(halves[0]) == len(halves[1])
    assert found[0][0][0]["activation_stats"] == 2


ROW = {"modelId": "gpt2-small", "layer": "1-res-jb"}


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """An export of Neuronpedia with two features."""
    folder = tmp_path / "1-res-jb"
    score = {"value": 0.75, "explanationScoreTypeName": "fuzz", "explanationScoreModelName": "o4"}
    write_lines(
        folder / "explanations" / "batch-0.jsonl.gz",
        [
            ROW
            | {"index": "2", "description": "years", "typeName": "oai", "scores": [score]}
            | {"explanationModelName": "gpt-4o"},
            ROW | {"index": 2, "description": "dates", "typeName": "np"},
        ],
    )
    feature = {"index": "0", "frac_nonzero": 0.125, "pos_str": [" a"], "pos_values": [1.5]}
    write_lines(folder / "features" / "batch-0.jsonl.gz", [ROW | feature | {"vector": [1.0]}])
    write_lines(
        folder / "activations" / "batch-0.jsonl.gz",
        [
            ROW
            | {"index": "2", "tokens": ["▁In", "▁19", str(i)], "values": [0, i, 0]}
            | {"maxValue": i, "maxValueTokenIndex": 1}
            for i in (1.0, 3.0, 2.0, 0.0)
        ],
    )
    write_lines(folder / "model.jsonl", [{"id": "gpt2-small"}])
    return folder


def test_neuronpedia_has_explanations_scores_and_examples(
    exported: Path, store: Callable[..., ImportReport], ask: Ask
) -> None:
    files = neuronpedia.find_files(exported)
    name = neuronpedia.read_model_name(files)
    assert name == "gpt2-small-res-jb"
    report = store(neuronpedia.make_reader(files, name, only=True), files, "neuronpedia", name=name)
    assert ask(SAID + " LIMIT 3") == [
        (1, 2, "neuronpedia oai gpt-4o", "explanation", "years", None),
        (1, 2, "neuronpedia oai gpt-4o", "score fuzz", "0.75", "by o4"),
        (1, 2, "neuronpedia np", "explanation", "dates", None),
    ]
    assert ask(
        "SELECT n.neuron, e.sign_case, e.quantity, e.rank, e.position, e.value, t.text "
        "FROM examples e JOIN neurons n USING (neuron_id) JOIN texts t USING (text_id)"
    ) == [
        (2, "in+", "hook_post", 0, 1, 3.0, " In 193.0"),
        (2, "in+", "hook_post", 1, 1, 2.0, " In 192.0"),
        (2, "in+", "hook_post", 2, 1, 1.0, " In 191.0"),
    ]
    assert report.no_place == {"vector": 1, "texts without an activation": 1}
    shown = ask("SELECT name, post_positive FROM neuron_overview WHERE post_positive IS NOT NULL")
    assert shown == [("1.0", 0.125)]


def test_neuronpedias_texts_are_the_farthest_from_zero_and_all_are_counted(
    store: Callable[..., ImportReport], ask: Ask, tmp_path: Path
) -> None:
    """Of a neuron, an activation may be negative: `maxValue` of such a text is 0, or missing."""
    values = [(-1) ** i * float(i) for i in range(1, 301)]
    rows = [
        {"modelId": "m", "layer": "0", "index": "0", "tokens": ["a", f" {i}"], "values": [0, value]}
        | {"maxValue": max(0, value), "maxValueTokenIndex": int(value > 0)}
        for i, value in enumerate(values)
    ]
    file = write_lines(tmp_path / "batch-0.jsonl", rows + rows[:2])
    report = store(neuronpedia.make_reader([file], "m", only=True), [file], "neuronpedia")
    kept = ask("SELECT value, position FROM examples ORDER BY rank")
    assert kept == [(value, 1) for value in sorted(values, key=lambda x: -abs(x))[:16]]
    assert sum(report.left_out.values()) == 300 + 2 - 16


def test_neuronpedia_again_changes_nothing(
    exported: Path, db: Path, store: Callable[..., ImportReport]
) -> None:
    files = neuronpedia.find_files(exported)
    reader = neuronpedia.make_reader(files, "toy", only=False)
    store(reader, files, "neuronpedia")
    before = contents(db)
    store(reader, files, "neuronpedia")
    assert contents(db) == before


def test_rows_of_another_model_are_left_out(
    exported: Path, store: Callable[..., ImportReport]
) -> None:
    write_lines(exported / "features" / "batch-1.jsonl", [{**ROW, "layer": "3", "index": "0"}])
    files = neuronpedia.find_files(exported)
    reader = neuronpedia.make_reader(files, "gpt2-small-res-jb", only=True)
    report = store(reader, files, "neuronpedia", name="gpt2-small-res-jb")
    assert report.no_place["rows of gpt2-small"] == 1


def test_openai_has_moments_texts_and_explanations(
    store: Callable[..., ImportReport], ask: Ask, tmp_path: Path
) -> None:
    neuron_id = {"dataclass_name": "NeuronId", "layer_index": 1, "neuron_index": 5}
    record = {
        "neuron_id": neuron_id,
        "mean": 0.5,
        "variance": 0.25,
        "skewness": 3.0,
        "kurtosis": None,
        "most_positive_activation_records": [
            {"tokens": ["A", " dog"], "activations": [0.5, 4.0]},
            {"tokens": ["The", " cat"], "activations": [5.0, 1.0]},
        ],
        "random_sample": [{"tokens": ["x", " y"], "activations": [-0.5, 0.25]}],
        "random_sample_by_quantile": [[], []],
    }
    simulation = {"ev_correlation_score": 0.5, "rsquared_score": None}
    explained = {
        "neuron_id": neuron_id,
        "scored_explanations": [{"explanation": "pets", "scored_simulation": simulation}],
    }
    write_lines(tmp_path / "data/neurons/1/5.json", [record])
    write_lines(tmp_path / "data/explanations/1/5.jsonl", [explained])
    files = openai_records.find_files(tmp_path / "data")
    report = store(openai_records.make_reader(files, "gpt-4"), files, "openai")
    assert ask(
        "SELECT post_mean, post_variance, post_skewness, post_kurtosis FROM activation_stats"
    ) == [(0.5, 0.25, 3.0, None)]
    assert ask(
        "SELECT t.text, e.position, e.value FROM examples e JOIN texts t USING (text_id)"
    ) == [("The cat", 0, 5.0), ("A dog", 1, 4.0)]
    assert ask(
        "SELECT c.kind, t.text, c.position, c.value FROM control_examples c "
        "JOIN texts t USING (text_id)"
    ) == [("random", "x y", 1, 0.25)]
    assert [row[2:5] for row in ask(SAID)] == [
        ("gpt-4", "explanation", "pets"),
        ("gpt-4", "ev_correlation", "0.5"),
    ]
    assert report.no_place == {"random_sample_by_quantile": 2}


def test_delphi_has_explanations_and_what_its_scores_come_to(
    store: Callable[..., ImportReport], ask: Ask, tmp_path: Path
) -> None:
    run, name = tmp_path / "run", "layers.2.mlp_latent14.txt"
    (run / "explanations").mkdir(parents=True)
    (run / "explanations" / name).write_text(json.dumps("code in braces"))
    # 3 of 4 active found, 1 of 6 others taken for active: precision 3/4, recall 3/4.
    judged = [{"activating": i < 4, "prediction": i in (0, 1, 2, 9)} for i in range(10)]
    (run / "scores" / "detection").mkdir(parents=True)
    unread = {"activating": True, "prediction": None}
    (run / "scores" / "detection" / name).write_text(json.dumps([*judged, unread]))
    files = delphi.find_files(run)
    store(delphi.make_reader(files, "delphi"), files, "delphi")
    assert ask(SAID) == [
        (2, 14, "delphi", "explanation", "code in braces", None),
        (2, 14, "delphi", "detection accuracy", f"{(3 / 4 + 5 / 6) / 2:.4g}", "over 10 examples"),
        (2, 14, "delphi", "detection F1", "0.75", "over 10 examples"),
    ]


def test_transluce_describes_both_ends(
    store: Callable[..., ImportReport], ask: Ask, tmp_path: Path
) -> None:
    name = "meta-llama/Llama-3.1-8B-Instruct_3_4_None"
    rows = [
        {"neuron_id": name, "polarity": 1, "description": "rivers", "is_interesting": True},
        {"neuron_id": name, "polarity": -1, "description": "boats"}
        | {"description_metadata": {"score": 0.5}},
    ]
    saved = {
        "neuron_id": {"layer_index": 0, "neuron_index": 1},
        "explanations": {
            "pos": [{"explanation": "x", "simulations": {"valid": {"ev_correlation_score": 0.25}}}],
            "neg": None,
        },
    }
    files = [write_lines(tmp_path / "d.jsonl", [*rows, saved])]
    store(transluce.make_reader(files, "transluce"), files, "transluce")
    assert ask(SAID) == [
        (3, 4, "transluce", "description (+)", "rivers", None),
        (3, 4, "transluce", "description (−)", "boats", None),
        (3, 4, "transluce", "score (−)", "0.5", None),
        (0, 1, "transluce", "description (+)", "x", None),
        (0, 1, "transluce", "score (+)", "0.25", "valid texts"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "is no JSON"), (b"\xff\xfe{", "not UTF-8"), (b"[1]", "a row must be an object")],
)
def test_bad_json_is_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "d.jsonl"
    file.write_bytes(content)
    with pytest.raises(TextError, match=message):
        list(transluce.make_reader([file], "x")(lambda _name, _n: None))
