"""An answer without rows says which stage, comparison, property or place is missing."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Engine, create_engine, text

from neurondb import named_queries
from neurondb.database import open_existing
from neurondb.errors import UnknownNameError
from neurondb.find import empty_answers, explain_empty, find
from neurondb.find.search import explain_nulls
from neurondb.migrate import create_or_open
from tests.support.sample_database import build
from tests.support.sample_facts import Sample

LLAMA, GPT = "sample-llama", "sample-gpt"
PLACE: Final = {"model": LLAMA, "layer": "1", "neuron": "1"}
EMPTIED = (
    *("vocab_stat_rows", "top_token_rows", "lm_head_tokens", "double_checking"),
    *("property_effects", "activation_stats", "sign_case_rows", "example_rows", "label_stats"),
)


@pytest.fixture(scope="module")
def weights_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The sample database, but sample-llama has nothing but its weights; nothing is compared."""
    sample = build(tmp_path_factory.mktemp("weights") / "sample.db")
    engine = create_engine(f"sqlite:///{sample.path}")
    with engine.begin() as connection:
        for table in EMPTIED:
            connection.execute(text(f"DELETE FROM {table} WHERE neuron_id < 256"))
        connection.execute(text("DELETE FROM tokens WHERE model_id = 1"))
        for table in ("universality", "universality_models", "universality_runs"):
            connection.execute(text(f"DELETE FROM {table}"))
        for table in ("comparison_neurons", "comparisons"):
            connection.execute(text(f"DELETE FROM {table}"))
    engine.dispose()
    engine = open_existing(sample.url)
    yield engine
    engine.dispose()


def found(engine: Engine, expression: str) -> list[int]:
    return [row[0] for row in find(engine, expression, columns=["neuron_id"]).rows]


# --- find ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("layer>=20", ["sample-gpt.*0 to 3.*0 to 63"]),
        ("1.9999", ["sample-llama.*0 to 3.*0 to 63"]),
        ("model=sample-llama layer=4..9", ["sample-llama.*0 to 3.*0 to 63"]),
        ("neuron>63 freq>0.5", ["0 to 63"]),
        ("freq>0.5 token=' dog' |in_out|>2", []),
        ("layer>=3 in_out>1", []),
    ],
)
def test_places_beyond_every_model_are_told(
    sample_engine: Engine, expression: str, said: list[str]
) -> None:
    reasons = explain_empty(sample_engine, expression)
    assert len(reasons) == len(said)
    assert all(map(re.search, said, reasons))


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("freq>0.99 in_out>5", ["activations.*sample-llama"]),
        ("model=sample-llama dead", ["--name sample-llama --stages activations --dataset TEXTS`"]),
        ("model=sample-llama prediction", ["vocabulary.*sample-llama"]),
        ("token=' dog' in_out>5", ["--stages vocab`"]),
        ("gate-_in+>1 role=supp in_out>5", ["vocabulary", "activations"]),
        ("model=sample-gpt post_positive>0.99 in_out>5", []),
        ("in_out>5", []),
        ("property=is-ascii in_out>5", ["token properties.*sample-llama"]),
        ("model=sample-llama property.is-ascii<-1", ["--name sample-llama --stages vocab`"]),
        ("model=sample-gpt property.is-ascii<-99", []),
        ("model=sample-gpt universal>0.5", ["neurondb universality sample-gpt OTHER --dataset"]),
    ],
)
def test_a_stage_that_is_missing_is_told(
    weights_only: Engine, expression: str, said: list[str]
) -> None:
    assert found(weights_only, expression) == []
    reasons = explain_empty(weights_only, expression)
    assert len(reasons) == len(said)
    assert all(map(re.search, said, reasons))


@pytest.mark.parametrize("name", ["neurons-encoding-token", "neurons-for-token"])
def test_a_query_of_a_token_tells_that_there_is_no_vocabulary(
    weights_only: Engine, name: str
) -> None:
    with pytest.raises(UnknownNameError, match=VOCAB):
        named_queries.run(weights_only, name, {"model": LLAMA, "token": " dog"})


def test_a_token_of_no_vocabulary_is_told(weights_only: Engine) -> None:
    for token in ("' dog'", "#3"):
        with pytest.raises(UnknownNameError, match=r"vocabulary.*sample-llama"):
            found(weights_only, f"model=sample-llama token={token}")
    both = "' xyzzy'.*`neurondb ingest .*sample-llama.* --stages vocab`"
    with pytest.raises(UnknownNameError, match=both):
        found(weights_only, "token=' xyzzy'")


def changed(tmp_path: Path, *statements: str) -> Engine:
    """A sample database after some statements."""
    sample = build(tmp_path / "sample.db")
    engine = create_engine(f"sqlite:///{sample.path}")
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()
    return open_existing(sample.url)


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (
            [
                "DELETE FROM token_property_rows WHERE model_id = 1 AND token_id > 0",
                "DELETE FROM property_effects WHERE neuron_id < 256 AND property_id = 1",
            ],
            r"sample-llama\b.*'starts with space'.*\b1\b",
        ),
        (
            [
                "UPDATE tokens SET token = '[token ' || token_id || ']' WHERE model_id = 1",
                "DELETE FROM property_effects WHERE neuron_id < 256",
            ],
            "no tokenizer.*sample-llama",
        ),
    ],
)
def test_why_a_model_has_no_effects_is_told(
    tmp_path: Path, statements: list[str], said: str
) -> None:
    engine = changed(tmp_path, *statements)
    expression = "model=sample-llama property.starts-with-space<-1"
    assert found(engine, expression) == []
    (reason,) = explain_empty(engine, expression)
    assert re.search(said, reason)
    engine.dispose()


def test_a_name_of_a_property_is_left_alone_where_none_is_stored(tmp_path: Path) -> None:
    tables = ("property_effects", "token_property_rows", "properties")
    engine = changed(tmp_path, *(f"DELETE FROM {table}" for table in tables))
    assert found(engine, "suppresses.property=year") == []
    (reason,) = explain_empty(engine, "suppresses.property=year")
    assert re.search("token properties.*sample-gpt.*sample-llama", reason)
    engine.dispose()


def test_an_empty_database_is_told(tmp_path: Path) -> None:
    create_or_open(str(tmp_path / "n.db")).dispose()
    engine = open_existing(str(tmp_path / "n.db"))
    (reason,) = explain_empty(engine, "dead")
    assert "`neurondb ingest MODEL`" in reason
    engine.dispose()


# --- named queries -------------------------------------------------------------------------

VOCAB, ACTIVATIONS = "vocabulary.*--stages vocab`", "activations.*--stages activations "
EFFECTS = "effects on token properties"


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("dead-neurons", {"model": LLAMA}, [ACTIVATIONS]),
        ("double-checking", {}, [VOCAB]),
        ("entropy-candidates", {"model": LLAMA}, [VOCAB]),
        ("examples-of-neuron", PLACE, [ACTIVATIONS]),
        ("freq-by-class", {"model": LLAMA}, [ACTIVATIONS]),
        ("freq-vs-cosines-by-layer", {"model": LLAMA}, [ACTIVATIONS]),
        ("kept-top-tokens", {"base": LLAMA, "tuned": GPT}, [VOCAB]),
        ("labels-of-neuron", PLACE, [ACTIVATIONS, "labels"]),
        ("properties-of-neuron", PLACE, [EFFECTS]),
        ("roles", {"model": LLAMA}, [VOCAB]),
        ("roles-by-layer", {"model": LLAMA}, [VOCAB]),
        ("sign-cases-of-neuron", PLACE, [ACTIVATIONS]),
        ("suppressed-properties", {"model": LLAMA, "property": "is ascii"}, [EFFECTS]),
        ("weakening-often", {"model": LLAMA}, [ACTIVATIONS]),
        ("class-migration", {}, ["`neurondb compare A B`"]),
        ("moved-neurons", {"before": LLAMA}, [f"`neurondb compare {LLAMA} B`"]),
        (
            "token-keeping-by-layer",
            {"before": LLAMA, "after": GPT},
            [f"`neurondb compare {LLAMA} {GPT}`"],
        ),
    ],
)
def test_what_a_query_needs_is_told_where_it_is_missing(
    weights_only: Engine, name: str, given: dict[str, str], said: list[str]
) -> None:
    assert list(named_queries.run(weights_only, name, given).rows) == []
    reasons = named_queries.explain_empty(weights_only, name, given)
    assert len(reasons) == len(said)
    assert all(map(re.search, said, reasons))


def test_labels_of_another_dataset_than_the_one_shown_are_not_denied(tmp_path: Path) -> None:
    engine = changed(
        tmp_path,
        "INSERT INTO dataset_rows (dataset_id, name, source, fingerprint, n_texts) "
        "VALUES (77, 'unlabelled', 'org/texts', 'g', 1)",
        "UPDATE activation_stats SET dataset_id = 77 WHERE neuron_id < 256",
        "UPDATE models SET dataset_id = 77 WHERE model_id = 1",
    )
    assert list(named_queries.run(engine, "labels-of-neuron", PLACE).rows) == []
    (reason,) = named_queries.explain_empty(engine, "labels-of-neuron", PLACE)
    assert reason.startswith("labels on 'unlabelled' were not ingested for sample-llama")
    assert "--dataset org/texts --label-field" in reason
    engine.dispose()


@pytest.mark.parametrize("name", named_queries.list_names())
def test_a_query_needs_what_is_known(name: str) -> None:
    assert set(named_queries.load(name).needs) <= set(empty_answers.NEEDS)


def test_a_model_that_has_all_is_not_blamed(weights_only: Engine) -> None:
    given = {"model": GPT, "kurtosis": "999", "variance": "999"}
    assert list(named_queries.run(weights_only, "roles", given).rows) == []
    assert named_queries.explain_empty(weights_only, "roles", given) == []


def test_a_place_beyond_the_model_is_told(sample_engine: Engine) -> None:
    given = PLACE | {"layer": "4"}
    assert list(named_queries.run(sample_engine, "sign-cases-of-neuron", given).rows) == []
    (reason,) = named_queries.explain_empty(sample_engine, "sign-cases-of-neuron", given)
    assert re.search("sample-llama.*0 to 3.*0 to 63", reason)


def test_the_other_order_of_a_comparison_is_told(sample_engine: Engine) -> None:
    given = {"before": GPT, "after": LLAMA}
    (reason,) = named_queries.explain_empty(sample_engine, "class-migration", given)
    assert "`neurondb compare sample-gpt sample-llama`" in reason
    assert named_queries.explain_empty(sample_engine, "class-migration", {"before": LLAMA}) == []


# --- what the question covers, and what has no gate ------------------------------------------


@pytest.mark.parametrize(
    "expression",
    [
        "model!=sample-llama freq>0.99",
        "not model=sample-llama role=prediction in_out>5",
        "not (model=sample-llama or freq<0.1) freq>0.99",
        "(model=sample-gpt) (post_positive>0.99 in_out>5)",
        "neuron_id>=256 role=prediction in_out>5",
        "neuron_id=300,301 role=prediction in_out>5",
    ],
)
def test_a_model_that_the_question_rules_out_is_not_blamed(
    weights_only: Engine, expression: str
) -> None:
    assert found(weights_only, expression) == []
    assert not any(LLAMA in reason for reason in explain_empty(weights_only, expression))


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("freq>0.6", "freq.*post_positive"),
        ("not gate_freq<1", "freq.*post_positive"),
        ("gate+_in-=0.2..0.4", "gate_pos_in_neg.*post_positive"),
        ("|gate_in|>0.1", "gate_in.*in_out"),
        ("gate_out<0 gate_norm>0", "gate_out.*gate_norm.*in_out.*in_norm"),
        ("cond-weak", "strengthening.*weakening.*orthogonal output"),
        ("class=proportional-change", "strengthening.*weakening.*orthogonal output"),
    ],
)
def test_what_needs_a_gate_is_told_of_a_model_without(
    sample_engine: Engine, expression: str, said: str
) -> None:
    assert found(sample_engine, f"{expression} model={GPT}") == []
    reasons = explain_empty(sample_engine, f"{expression} model={GPT}")
    assert any(re.search(f"{GPT}.*gates.*{said}", reason) for reason in reasons)


def test_a_question_that_both_kinds_of_neurons_can_answer_says_nothing_of_gates(
    sample_engine: Engine,
) -> None:
    for expression in ("freq>0.9999 in_out>5", f"dead in_out>5 model={GPT}", "cond-weak in_out>5"):
        assert not any("gates" in reason for reason in explain_empty(sample_engine, expression))


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("double-checking", {"model": GPT}, "sample-gpt.*gates"),
        ("weakening-often", {"model": GPT}, "sample-gpt.*gates"),
        ("strongest-cosines", {"model": GPT, "pair": "gate_in"}, "sample-gpt.*gate_in"),
        (
            "examples-of-neuron",
            PLACE | {"model": GPT, "case": "gate+_in-"},
            r"sample-gpt.*gate\+_in-",
        ),
        (
            "examples-of-neuron",
            PLACE | {"case": "in+"},
            r"sample-llama.*\bin\+",
        ),
    ],
)
def test_a_query_about_gates_tells_of_a_model_without(
    sample_engine: Engine, name: str, given: dict[str, str], said: str
) -> None:
    assert list(named_queries.run(sample_engine, name, given).rows) == []
    reasons = named_queries.explain_empty(sample_engine, name, given)
    assert any(re.search(said, reason) for reason in reasons)


def test_layers_that_lack_a_stage_are_told(tmp_path: Path) -> None:
    engine = changed(
        tmp_path,
        "DELETE FROM activation_stats WHERE neuron_id BETWEEN 64 AND 191",
        "DELETE FROM vocab_stat_rows WHERE neuron_id BETWEEN 0 AND 63",
        *(f"DELETE FROM {table} WHERE neuron_id BETWEEN 192 AND 255" for table in PER_NEURON),
    )
    for expression, said in (
        (f"model={LLAMA} freq>2%  in_out>5", "activations.*layers 1–2"),
        (f"model={LLAMA} layer=1 freq>0.5", "activations.*layer 1 "),
        (f"model={LLAMA} layer=0,3 role=none in_out>5", "vocabulary.*layer 0"),
        (f"model={LLAMA} layer=3", "weights.*layer 3 .*sample-llama"),
        (f"model={LLAMA} 3.5", "weights.*layer 3 .*sample-llama"),
    ):
        assert found(engine, expression) == []
        assert any(re.search(said, reason) for reason in explain_empty(engine, expression)), (
            expression
        )
    assert explain_empty(engine, f"model={LLAMA} layer=0 freq>0.5 in_out>5") == []
    engine.dispose()


PER_NEURON: Final = (
    *("neuron_effects", "neuron_attributions", "neuron_set_members", "classes", "cosines"),
    *("double_checking", "neurons"),
)


def test_columns_that_are_unknown_of_all_that_is_shown_are_explained(
    weights_only: Engine, sample_engine: Engine
) -> None:
    (line,) = explain_nulls(sample_engine, f"model={GPT}", ["freq", "gate_in"])
    assert re.search(r"sample-gpt.*\bfreq\b.*\bgate_in\b.*\bpost_positive\b.*\bin_out\b", line)
    (line,) = explain_nulls(weights_only, f"model={LLAMA}", ["role"])
    assert re.search("vocabulary.*sample-llama", line)
    assert explain_nulls(sample_engine, f"model={LLAMA}", ["freq", "role"]) == []


def test_an_empty_answer_names_the_rest_of_the_classes_family(
    sample: Sample, sample_engine: Engine
) -> None:
    of_model: dict[str, dict[str, int]] = {}
    for row in sample.neurons:
        counts = of_model.setdefault(row["model"], {})
        counts[row["class"]] = counts.get(row["class"], 0) + 1
    for model, counts in of_model.items():
        for family in ("strengthening", "weakening"):
            members = {name: n for name, n in counts.items() if name.endswith(family)}
            for asked in (family, f"conditional {family}"):
                lines = explain_empty(sample_engine, f"class='{asked}' freq>0.99999 model={model}")
                said = [line for line in lines if "akin" in line]
                if set(members) - {asked}:
                    (line,) = said
                    assert re.search(rf"{model}\b.*\b{members.get(asked, 0)} {asked}", line)
                    assert all(f"{n:,} {name}" in line for name, n in members.items())
                else:
                    assert said == []
