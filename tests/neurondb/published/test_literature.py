"""Which model of the literature a stored one is, and the figures that ship."""

import json

import numpy as np
import pytest
from sqlalchemy import Connection

from neurondb.errors import ModelError, UsageError
from neurondb.known_models import KNOWN, find_known_model
from neurondb.published.literature import (
    identify_model,
    list_published,
    read_class_tables,
)
from tests.support.published_models import COUNTS, FIGURES, ROOT, describe
from tests.support.shared_inputs import shared

OF_LLAMA = (28, 8192)


@pytest.mark.parametrize(
    ("name", "source", "found"),
    [
        ("llama-3.2-3b", "/somewhere", "llama-3.2-3b"),
        ("mine", "meta-llama/Llama-3.2-3B", "llama-3.2-3b"),
        ("mine", "META-LLAMA/llama-3.2-3b", "llama-3.2-3b"),
        ("mine", "/models/Llama-3.2-3B", "llama-3.2-3b"),
        ("mine", "/c/models--meta-llama--Llama-3.2-3B/snapshots/13af/", "llama-3.2-3b"),
        ("mine", "/models/other", None),
        ("llama-3.2-1b", "/models/other", None),
    ],
)
def test_a_model_is_known_by_name_source_or_directory(
    on_pythia: Connection, name: str, source: str, found: str | None
) -> None:
    model = describe(on_pythia, name, OF_LLAMA, source=source, first_neuron_id=10_000)
    assert identify_model(model) == found


@pytest.mark.parametrize(
    ("given", "shape", "found"),
    [
        ("olmo-7b", (32, 11008), "olmo-7b-0424"),
        ("allenai/OLMo-7B-0424-hf", (32, 11008), "olmo-7b-0424"),
        ("llama-3.1-8b-instruct", (32, 14336), "llama-3.1-8b-instruct"),
    ],
)
def test_a_user_may_say_which_it_is(
    on_pythia: Connection, given: str, shape: tuple[int, int], found: str
) -> None:
    model = describe(on_pythia, "mine", shape, first_neuron_id=10_000)
    assert identify_model(model, given) == found


def test_a_wrong_name_is_refused_in_one_line(on_pythia: Connection) -> None:
    model = describe(on_pythia, "mine", OF_LLAMA, first_neuron_id=10_000)
    with pytest.raises(ModelError, match="that model has 16 layers of 8,192 gated neurons, but"):
        identify_model(model, "llama-3.2-1b")
    with pytest.raises(UsageError, match=r"no published table has a model 'lama-3.2-3b'; did"):
        identify_model(model, "lama-3.2-3b")
    with pytest.raises(UsageError, match=r"no published table has a model 'phi-2'"):
        identify_model(model, "phi-2")


def test_every_table_is_whole() -> None:
    tables = read_class_tables()
    assert len(COUNTS["gated"]) == 12
    assert len(COUNTS["ungated"]) == 24
    assert len(tables) == 36
    for table in tables.values():
        assert {len(layer) for layer in table.counts} == {len(table.classes)}
        assert len({sum(layer) for layer in table.counts}) == 1
    assert len(list_published()) == 37, (
        "and Llama-3.1-8B-Instruct, of which no counts are published"
    )


def test_known_models_of_the_papers_are_found() -> None:
    """Every model that the registry says a class table studies has one."""
    named = {slug for slug in read_class_tables() if slug in KNOWN}
    assert all(KNOWN[slug].in_papers for slug in named)
    assert find_known_model("gpt2").slug in named
    assert list_published()["gpt2-small"] == (12, 3072, False)


def test_every_file_says_where_its_figures_are_from() -> None:
    counts = json.loads((ROOT / "neurondb/published/data/class_counts.json").read_text())
    for figures in (counts, *FIGURES.values()):
        assert figures["source"]
    for figures in (counts, FIGURES["gate_frequencies"], FIGURES["ablations"]):
        assert len(figures["commit"]) == 40
        assert figures["licence"]


@pytest.mark.shared
def test_shipped_figures_are_those_of_the_reference() -> None:
    reference = json.loads(shared("reference/rw_class_counts.json").read_text())
    for kind, name in (("glu", "gated"), ("vanilla", "ungated")):
        assert COUNTS[name] == {m: t["counts_by_layer"] for m, t in reference[kind].items()}
        for model, table in reference[kind].items():
            assert np.sum(COUNTS[name][model], axis=0).tolist() == table["total"]
    page = json.loads(shared("reference/gluscope-page/stats.json").read_text())
    of_neuron = page["neurons"]["31.9634"]
    assert FIGURES["sign_cases"]["statistics"] == {
        quantity: of_neuron[quantity] for quantity in FIGURES["sign_cases"]["statistics"]
    }
    tables = json.loads(shared("reference/gate_freq_by_class.json").read_text())["tables"]
    for model, classes in FIGURES["gate_frequencies"]["models"].items():
        table = tables[f"plots/summary_freq/{model}/summary.tex"]
        assert classes == {name: [row["true"], row["baseline"]] for name, row in table.items()}
