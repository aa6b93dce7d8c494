"""Models that go by a short name: the ones the papers study, and newer ones of the same families.

The registry is data: nothing is imported, downloaded or checked here. Any other hub id works too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from neurondb.errors import ModelError

SUGGESTIONS = 3


@dataclass(frozen=True)
class KnownModel:
    """One entry of the registry.

    Attributes:
        slug: The short name, and the model's name in the database by default.
        hub_id: The repository on the Hugging Face hub.
        model_type: The architecture's name in transformers, which selects the adapter.
        gated_repo: Whether its licence must be accepted on the hub before a download.
        in_papers: Whether one of the five papers, or the tables published with them, studies it.
        description: What it is, for a person.
    """

    slug: str
    hub_id: str
    model_type: str
    gated_repo: bool
    in_papers: bool
    description: str


def find_known_model(name: str) -> KnownModel:
    """Return the known model of this slug or hub id, in any letter case.

    Raises:
        ModelError: There is none; the message names the nearest slugs.
    """
    key = name.strip().lower()
    model = KNOWN.get(ALIASES.get(key, key)) or _BY_HUB_ID.get(key)
    if model is None:
        raise ModelError(explain_unknown(name))
    return model


def explain_unknown(name: str) -> str:
    """Return one line that says a name is unknown, with similar slugs and what else to give."""
    similar = suggest_slugs(name)
    guess = f"did you mean {' or '.join(similar)}? Or " if similar else ""
    return f"no known model is called '{name}': {guess}give owner/name or a directory"


def suggest_slugs(name: str) -> list[str]:
    """Return at most three slugs that look like `name`, the nearest first."""
    names = [*KNOWN, *ALIASES]
    similar = get_close_matches(name.strip().lower(), names, n=SUGGESTIONS, cutoff=0.6)
    return list(dict.fromkeys(ALIASES.get(slug, slug) for slug in similar))


# (slug, hub id, model_type, description), the papers' gated models first.
_ENTRIES = (
    ("llama-3.2-3b", "meta-llama/Llama-3.2-3B", "llama", "Llama 3.2, 3B"),
    ("llama-3.2-1b", "meta-llama/Llama-3.2-1B", "llama", "Llama 3.2, 1B"),
    ("llama-3.1-8b", "meta-llama/Llama-3.1-8B", "llama", "Llama 3.1, 8B"),
    ("llama-3.1-8b-instruct", "meta-llama/Llama-3.1-8B-Instruct", "llama", "Llama 3.1, 8B, chat"),
    ("llama-2-7b", "meta-llama/Llama-2-7b-hf", "llama", "Llama 2, 7B"),
    ("gemma-2-2b", "google/gemma-2-2b", "gemma2", "Gemma 2, 2B"),
    ("gemma-2-9b", "google/gemma-2-9b", "gemma2", "Gemma 2, 9B"),
    ("olmo-1b", "allenai/OLMo-1B-hf", "olmo", "OLMo, 1B"),
    ("olmo-7b-0424", "allenai/OLMo-7B-0424-hf", "olmo", "OLMo of April 2024, 7B"),
    ("mistral-7b", "mistralai/Mistral-7B-v0.1", "mistral", "Mistral v0.1, 7B"),
    ("qwen2.5-0.5b", "Qwen/Qwen2.5-0.5B", "qwen2", "Qwen 2.5, 0.5B"),
    ("qwen2.5-7b", "Qwen/Qwen2.5-7B", "qwen2", "Qwen 2.5, 7B"),
    ("yi-6b", "01-ai/Yi-6B", "llama", "Yi, 6B"),
    ("gpt2-small", "openai-community/gpt2", "gpt2", "GPT-2, 124M"),
    ("gpt2-medium", "openai-community/gpt2-medium", "gpt2", "GPT-2, 355M"),
    ("gpt2-large", "openai-community/gpt2-large", "gpt2", "GPT-2, 774M"),
    ("gpt2-xl", "openai-community/gpt2-xl", "gpt2", "GPT-2, 1.5B"),
    ("distilgpt2", "distilbert/distilgpt2", "gpt2", "GPT-2 distilled to six layers"),
    ("pythia-14m", "EleutherAI/pythia-14m", "gpt_neox", "Pythia, 14M"),
    ("pythia-70m", "EleutherAI/pythia-70m", "gpt_neox", "Pythia, 70M"),
    ("pythia-160m", "EleutherAI/pythia-160m", "gpt_neox", "Pythia, 160M"),
    ("pythia-410m", "EleutherAI/pythia-410m", "gpt_neox", "Pythia, 410M"),
    ("pythia-1b", "EleutherAI/pythia-1b", "gpt_neox", "Pythia, 1B"),
    ("pythia-1.4b", "EleutherAI/pythia-1.4b", "gpt_neox", "Pythia, 1.4B"),
    ("pythia-2.8b", "EleutherAI/pythia-2.8b", "gpt_neox", "Pythia, 2.8B"),
    ("pythia-6.9b", "EleutherAI/pythia-6.9b", "gpt_neox", "Pythia, 6.9B"),
    ("pythia-12b", "EleutherAI/pythia-12b", "gpt_neox", "Pythia, 12B"),
    ("opt-125m", "facebook/opt-125m", "opt", "OPT, 125M"),
    ("opt-1.3b", "facebook/opt-1.3b", "opt", "OPT, 1.3B"),
    ("opt-2.7b", "facebook/opt-2.7b", "opt", "OPT, 2.7B"),
    ("opt-6.7b", "facebook/opt-6.7b", "opt", "OPT, 6.7B"),
    ("opt-13b", "facebook/opt-13b", "opt", "OPT, 13B"),
    ("bloom-560m", "bigscience/bloom-560m", "bloom", "BLOOM, 560M"),
    ("bloom-1b1", "bigscience/bloom-1b1", "bloom", "BLOOM, 1.1B"),
    ("bloom-1b7", "bigscience/bloom-1b7", "bloom", "BLOOM, 1.7B"),
    ("bloom-7b1", "bigscience/bloom-7b1", "bloom", "BLOOM, 7.1B"),
    ("gpt-j-6b", "EleutherAI/gpt-j-6B", "gptj", "GPT-J, 6B"),
    ("gemma-2b", "google/gemma-2b", "gemma", "Gemma, 2B"),
    ("gemma-3-270m", "google/gemma-3-270m", "gemma3_text", "Gemma 3, 270M"),
    ("gemma-3-1b", "google/gemma-3-1b-pt", "gemma3_text", "Gemma 3, 1B"),
    ("gemma-3-4b", "google/gemma-3-4b-pt", "gemma3", "Gemma 3 with vision, 4B: its text model"),
    ("mistral-7b-v0.3", "mistralai/Mistral-7B-v0.3", "mistral", "Mistral v0.3, 7B"),
    ("olmo-2-1b", "allenai/OLMo-2-0425-1B", "olmo2", "OLMo 2, 1B"),
    ("olmo-2-7b", "allenai/OLMo-2-1124-7B", "olmo2", "OLMo 2, 7B"),
    ("olmo-2-13b", "allenai/OLMo-2-1124-13B", "olmo2", "OLMo 2, 13B"),
    ("olmo-3-7b", "allenai/Olmo-3-1025-7B", "olmo3", "OLMo 3, 7B"),
    ("qwen2.5-1.5b", "Qwen/Qwen2.5-1.5B", "qwen2", "Qwen 2.5, 1.5B"),
    ("qwen2.5-3b", "Qwen/Qwen2.5-3B", "qwen2", "Qwen 2.5, 3B"),
    ("qwen3-0.6b", "Qwen/Qwen3-0.6B-Base", "qwen3", "Qwen 3, 0.6B"),
    ("qwen3-1.7b", "Qwen/Qwen3-1.7B-Base", "qwen3", "Qwen 3, 1.7B"),
    ("qwen3-4b", "Qwen/Qwen3-4B-Base", "qwen3", "Qwen 3, 4B"),
    ("qwen3-8b", "Qwen/Qwen3-8B-Base", "qwen3", "Qwen 3, 8B"),
    ("phi-1.5", "microsoft/phi-1_5", "phi", "Phi 1.5, 1.3B"),
    ("phi-2", "microsoft/phi-2", "phi", "Phi 2, 2.7B"),
    ("phi-3-mini", "microsoft/Phi-3-mini-4k-instruct", "phi3", "Phi 3 mini, 3.8B, chat"),
    ("phi-4", "microsoft/phi-4", "phi3", "Phi 4, 14B, chat"),
    ("granite-3.3-2b", "ibm-granite/granite-3.3-2b-base", "granite", "Granite 3.3, 2B"),
    ("granite-3.3-8b", "ibm-granite/granite-3.3-8b-base", "granite", "Granite 3.3, 8B"),
    ("smollm2-135m", "HuggingFaceTB/SmolLM2-135M", "llama", "SmolLM 2, 135M"),
    ("smollm2-1.7b", "HuggingFaceTB/SmolLM2-1.7B", "llama", "SmolLM 2, 1.7B"),
    ("smollm3-3b", "HuggingFaceTB/SmolLM3-3B-Base", "smollm3", "SmolLM 3, 3B"),
    ("stablelm-3b", "stabilityai/stablelm-3b-4e1t", "stablelm", "StableLM, 3B"),
    ("starcoder2-3b", "bigcode/starcoder2-3b", "starcoder2", "StarCoder 2, 3B"),
)

# Every repository of these two whose model is listed asks for its licence to be accepted.
_GATED_OWNERS = frozenset({"meta-llama", "google"})

# Read-write class tables: weakening-neurons. Fine-tuning: specialised-feature-neurons (the
# Instruct model). Universality: universal-neurons (GPT-2 small and medium, Pythia-160M).
_IN_PAPERS = frozenset(
    {"llama-3.2-3b", "llama-3.2-1b", "llama-3.1-8b", "llama-3.1-8b-instruct", "llama-2-7b"}
    | {"gemma-2-2b", "gemma-2-9b", "olmo-1b", "olmo-7b-0424", "mistral-7b", "yi-6b"}
    | {"qwen2.5-0.5b", "qwen2.5-7b"}
    | {"gpt2-small", "gpt2-medium", "gpt2-large", "gpt2-xl", "distilgpt2", "gpt-j-6b"}
    | {"pythia-14m", "pythia-160m", "pythia-1b", "pythia-6.9b", "pythia-12b"}
    | {"opt-125m", "opt-1.3b", "opt-6.7b", "opt-13b"}
    | {"bloom-560m", "bloom-1b1", "bloom-1b7", "bloom-7b1"}
)

KNOWN: Mapping[str, KnownModel] = MappingProxyType(
    {
        slug: KnownModel(
            slug,
            hub_id,
            model_type,
            gated_repo=hub_id.split("/")[0] in _GATED_OWNERS,
            in_papers=slug in _IN_PAPERS,
            description=description,
        )
        for slug, hub_id, model_type, description in _ENTRIES
    }
)
"""Every known model by slug."""

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "gpt2": "gpt2-small",
        "olmo-7b": "olmo-7b-0424",
        "mistral-7b-v0.1": "mistral-7b",
        "phi-1_5": "phi-1.5",
    }
)
"""Other names that mean one of them."""

_BY_HUB_ID = {model.hub_id.lower(): model for model in KNOWN.values()}
