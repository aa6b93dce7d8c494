"""The registry of known models, held against the published tables and our own adapters."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ingest.families import FAMILIES
from neurondb.errors import ModelError
from neurondb.known_models import ALIASES, KNOWN, find_known_model, suggest_slugs
from tests.support.shared_inputs import shared

# Published under these names: no decoder-only language models, or not on the hub for loading.
NOT_LANGUAGE_MODELS = ("Othello", "bert", "t5")
PUBLISHED_NAMES = {
    "distilgpt2": "distilbert/distilgpt2",
    "gpt2-small": "openai-community/gpt2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "gpt2-large": "openai-community/gpt2-large",
    "gpt2-xl": "openai-community/gpt2-xl",
}


@pytest.mark.shared
def test_every_model_of_the_published_tables_is_known() -> None:
    tables = json.loads(shared("reference/rw_class_counts.json").read_text())
    assert len(tables["glu"]) == 12
    for name in [*tables["glu"], *tables["vanilla"]]:
        if any(part in name for part in NOT_LANGUAGE_MODELS):
            continue
        known = find_known_model(PUBLISHED_NAMES.get(name, name))
        assert known.in_papers, name


def test_every_known_model_has_an_adapter() -> None:
    assert {model.model_type for model in KNOWN.values()} <= set(FAMILIES)


def test_slugs_and_hub_ids_are_unique_and_well_formed() -> None:
    ids = [model.hub_id for model in KNOWN.values()]
    assert len(set(ids)) == len(ids)
    assert all(hub_id.count("/") == 1 for hub_id in ids)
    assert all(slug == slug.lower() == model.slug for slug, model in KNOWN.items())
    assert not set(ALIASES) & set(KNOWN)
    assert set(ALIASES.values()) <= set(KNOWN)


def test_gated_repositories_are_marked() -> None:
    assert find_known_model("llama-3.2-3b").gated_repo
    assert find_known_model("gemma-2-2b").gated_repo
    assert not find_known_model("olmo-1b").gated_repo


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("llama-3.2-3b", "llama-3.2-3b"),
        (" Llama-3.2-3B ", "llama-3.2-3b"),
        ("gpt2", "gpt2-small"),
        ("META-LLAMA/llama-3.2-3b", "llama-3.2-3b"),
    ],
)
def test_resolve_takes_slugs_aliases_and_hub_ids(name: str, slug: str) -> None:
    assert find_known_model(name).slug == slug


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"'gemma-2-2'.*gemma-2-2b"):
        find_known_model("gemma-2-2")
    assert suggest_slugs("pythia-160")[0] == "pythia-160m"
    with pytest.raises(ModelError, match=r"'zzz'.*owner/name"):
        find_known_model("zzz")


def test_the_registry_loads_nothing_heavy() -> None:
    code = (
        "import sys, neurondb.known_models\n"
        "heavy = {'torch', 'transformers', 'huggingface_hub', 'numpy'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_locating_models_loads_the_hub_library_only_when_asked() -> None:
    code = "import sys, ingest.checkpoint.hub\nsys.exit('huggingface_hub' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
