"""How well descriptions of the bundled model's neurons name what is known to activate them.

The classes of words are those of the little world's own lexicon, of which nothing is stored in a
database; what they explain is measured on held-out texts, with transformers' own forward pass.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, AutoTokenizer

from ingest.bundled import model_directory
from ingest.bundled.tinyworld import read_heldout_texts
from tests.support.arrays import Array
from tools.tinyworld.lexicon import LEXICON

HELDOUT: Final = 120
"""Texts on which it is measured what explains a neuron."""
KNOWN: Final = 0.1
"""A class explains a neuron where it takes away this share of the variance of hook_post."""
WORD: Final = 0.2
"""And a single word where it takes away this share."""
FEWEST: Final = 20
"""Tokens of the held-out texts that a class must have."""
PROPERTY_OF: Final = {"day": "weekday", "month": "month", "colour": "colour"}
"""Class of words → what the catalogue of properties calls the same."""
_WORD: Final = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Known:
    """A neuron of which it is known what explains it."""

    layer: int
    neuron: int
    class_name: str
    score: float


@cache
def list_words() -> dict[str, frozenset[str]]:
    """Return class → its words, in lower case, with their inflected forms."""
    words = {}
    for name, entries in LEXICON.items():
        forms = (
            form
            for entry in entries
            for form in (entry, *(getattr(entry, a, "") for a in ("many", "past", "done")))
        )
        words[name] = frozenset(str(form).lower() for form in forms if str(form).isalpha())
    return words


def find_known_neurons(texts: int = HELDOUT) -> list[Known]:
    """Return the neurons that a class of words explains on held-out texts, and by how much."""
    words, _ = _run(texts)
    members = {name: np.isin(words, list(of)) for name, of in list_words().items()}
    return _find_explained(texts, members, KNOWN)


def find_word_neurons(texts: int = HELDOUT) -> list[Known]:
    """Return the neurons that a single word explains on held-out texts, and by how much."""
    words, _ = _run(texts)
    return _find_explained(texts, {w: words == w for w in set(words.tolist()) if w.isalpha()}, WORD)


def _find_explained(texts: int, members: dict[str, NDArray[np.bool_]], least: float) -> list[Known]:
    """Return the neurons of which a test takes away this share of the variance at least."""
    _, activations = _run(texts)
    names = sorted(name for name, has in members.items() if has.sum() >= FEWEST)
    inside = np.array([members[name] for name in names], dtype=np.float64)
    known = []
    for layer, values in enumerate(activations):
        scores = _reduce_variance(values.astype(np.float64), inside)
        for neuron, best in enumerate(scores.argmax(0)):
            if scores[best, neuron] >= least:
                known.append(Known(layer, neuron, names[best], float(scores[best, neuron])))
    return known


def _reduce_variance(values: Array, inside: Array) -> Array:
    """Return 1 − the share of variance left within the two sides of each class (METHODS §9)."""
    n, counts = len(values), inside.sum(1)[:, None]
    sums = inside @ values
    total = values.sum(0)
    between = sums**2 / counts + (total - sums) ** 2 / (n - counts) - total**2 / n
    return np.asarray(between / (((values - values.mean(0)) ** 2).sum(0)))


@cache
def _run(n: int) -> tuple[Array, list[Array]]:
    """Return the word of each token, BOS left out, and hook_post by layer as tokens × neurons."""
    load: Any = AutoModelForCausalLM
    model = load.from_pretrained(model_directory(), dtype=torch.float32).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(model_directory())
    kept: list[list[torch.Tensor]] = [[] for _ in model.model.layers]
    for layer, store in zip(model.model.layers, kept, strict=True):
        layer.mlp.down_proj.register_forward_pre_hook(
            lambda _, given, store=store: store.append(given[0][0, 1:].detach())
        )
    words: list[str] = []
    with torch.no_grad():
        for text in read_heldout_texts(n):
            ids = tokenizer(text, return_tensors="pt", truncation=True, max_length=256).input_ids
            model(ids)
            words += [tokenizer.decode([one]).strip().lower() for one in ids[0, 1:].tolist()]
    return np.array(words), [torch.cat(store).numpy() for store in kept]


def names_class(description: str, class_name: str) -> bool:
    """Tell whether a description has a word of a class, or the property that is the class.

    What is no class is a word.
    """
    words = set(_WORD.findall(description.lower()))
    return (
        bool(words & list_words().get(class_name, {class_name}))
        or PROPERTY_OF.get(class_name, "-") in words
    )


def measure_naming(
    known: list[Known], described: dict[tuple[int, int], str]
) -> tuple[float, float]:
    """Return for what share of known neurons the description names their class, and by chance.

    Chance is the share of pairs of a known neuron and the description of another known one.
    """
    own = [names_class(described[one.layer, one.neuron], one.class_name) for one in known]
    others = [
        names_class(described[other.layer, other.neuron], one.class_name)
        for one in known
        for other in known
        if other is not one
    ]
    return float(np.mean(own)), float(np.mean(others))
