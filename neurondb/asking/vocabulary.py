"""The words of the `find` language and what each stands for. docs/find.md tells users."""

import re
from collections.abc import Hashable, Sequence
from typing import Final, TypeVar

from neurondb.asking.terms import And, Compare, Expression, Missing, Not, OneOf, Or
from neurondb.schema.codes import BASES, DIRECTIONS, VECTORS, token_list
from neurondb.schema.views import CASE_COLUMNS, EFFECT_COLUMNS
from neurondb.taxonomy import CLASSES, ORTHOGONAL, UNDEFINED

Meaning = TypeVar("Meaning", bound=Hashable)

NUMBERS: Final = {
    "layer": "layer, from 0",
    "neuron": "number within the layer, from 0",
    "neuron_id": "id in the database",
    "gate_in": "cos(gate, in)",
    "gate_out": "cos(gate, out)",
    "in_out": "cos(in, out)",
    "freq": "share of tokens with x_gate > 0",
    "gate_pos_in_pos": "share of tokens with x_gate > 0 and x_in > 0",
    "gate_pos_in_neg": "share of tokens with x_gate > 0 and x_in < 0",
    "gate_neg_in_pos": "share of tokens with x_gate < 0 and x_in > 0",
    "gate_neg_in_neg": "share of tokens with x_gate < 0 and x_in < 0",
    "gate_norm": "‖gate‖",
    "in_norm": "‖in‖",
    "out_norm": "‖out‖",
    "penalty": "weight-decay penalty ‖in‖² + ‖out‖² (+ ‖gate‖²)",
    "sign": "+1 or −1: what in and out were multiplied by",
    "pre_mean": "mean of hook_pre",
    "pre_variance": "variance of hook_pre",
    "pre_skewness": "skewness of hook_pre",
    "pre_kurtosis": "kurtosis of hook_pre (a Gaussian has 3)",
    "post_mean": "mean of hook_post",
    "post_variance": "variance of hook_post",
    "post_skewness": "skewness of hook_post",
    "post_kurtosis": "kurtosis of hook_post",
    "post_positive": "share of tokens with hook_post > 0",
    "out_kurtosis": "kurtosis of cos(U, out) over the vocabulary",
    "out_skewness": "skewness of cos(U, out)",
    "out_variance": "variance of cos(U, out)",
    "out_dot_variance": "variance of the dot product U·out",
    "significant_in_out": "1 when cos(in, out) is outside the layer's random region, else 0",
    "ablated_loss": "mean loss, clean − without the neuron: below 0 where removing it hurts",
    "ablated_entropy": "mean entropy, clean − without the neuron",
    "ablated_rank": "mean rank of the correct token, clean − without the neuron",
    "ablated_scale": "mean divisor of the final norm, clean − without the neuron",
    "attribution_loss": "first-order estimate of ablated_loss",
    "attribution_entropy": "first-order estimate of ablated_entropy",
}
"""Every numeric column of neuron_overview."""

PLACES: Final = ("layer", "neuron", "neuron_id")
"""Columns that are whole numbers from 0."""

SHARES: Final = ("freq", *CASE_COLUMNS.values(), "post_positive")
"""Columns that are shares of tokens."""

ACTIVATION_COLUMNS: Final = frozenset(c for c in NUMBERS if c.startswith(("pre_", "post_"))) | {
    *SHARES
}
VOCABULARY_COLUMNS: Final = frozenset(
    ("out_kurtosis", "out_skewness", "out_variance", "out_dot_variance", "role", "top_out_token")
)
"""Columns that are known once the stages of these names have been ingested."""

WORDS: Final = {
    "model": "name of the model",
    "class": "read-write class, under either name",
    "io_class": "the same as class",
    "role": "prediction, suppression, partition or none",
    "name": "layer.neuron",
    "top_out_token": "token that out promotes most",
}
"""Every other column of neuron_overview."""

DATASET: Final = "dataset"
"""What stands before the name of the dataset whose activations are meant; no column."""

ALIASES: Final = {
    **CASE_COLUMNS,
    "gate_freq": "freq",
    "significant": "significant_in_out",
    **{column.replace("_", ".", 1): column for column in EFFECT_COLUMNS},
}

ROLES: Final = ("prediction", "suppression", "partition", "none")

DEAD: Final = Or(
    (  # each side false, not unknown, where the other decides: else `not dead` would lose neurons
        And((Not(Missing("freq")), OneOf("freq", (0,)))),
        And((Missing("freq"), OneOf("post_positive", (0,)))),
    ),
)
"""Never active: x_gate is never positive; of an ungated neuron, hook_post never is."""


def _group(*, atypical: bool) -> tuple[str, ...]:
    return tuple(c.name for c in CLASSES if c.name.startswith("atypical ") == atypical)


def class_words() -> dict[str, Expression]:
    """Return every name and group of classes, in words parted by spaces, with its meaning."""
    manipulators = tuple(c.name for c in CLASSES if c.class_id != ORTHOGONAL)
    words: dict[str, Expression] = {
        "typical": OneOf("class", _group(atypical=False)),
        "atypical": OneOf("class", _group(atypical=True)),
        "input manipulators": OneOf("class", manipulators),
    }
    for known in (*CLASSES, UNDEFINED):
        words[known.name] = words[known.io_name] = OneOf("class", (known.name,))
    return words


CLASS_WORDS: Final = class_words()
ONE_CLASS: Final = {
    name: meaning.values[0]
    for name, meaning in CLASS_WORDS.items()
    if isinstance(meaning, OneOf) and len(meaning.values) == 1
}
"""Either name of a class → its name in the database."""
ROLE_WORDS: Final[dict[str, Expression]] = {role: OneOf("role", (role,)) for role in ROLES}
BARE_WORDS: Final[dict[str, Expression]] = {
    **CLASS_WORDS,
    **{role: ROLE_WORDS[role] for role in ROLES if role != "none"},
    "dead": DEAD,
    "significant": Compare("significant_in_out", ">", 0),
}
"""What may stand without a comparison."""


def matching(words: Sequence[str], known: dict[str, Meaning]) -> list[str]:
    """Return the entries that `words` spells out, else those of which it is an abbreviation.

    Each word abbreviates the word in its place: `cond weak` is `conditional weakening`, and
    `cond` could be four classes. Entries of the same meaning count once.
    """
    spelled = " ".join(words)
    if spelled in known:
        return [spelled]
    meanings = {
        known[entry]: entry for entry in reversed(known) if _abbreviates(words, entry.split())
    }
    return sorted(meanings.values())


def _abbreviates(words: Sequence[str], entry: Sequence[str]) -> bool:
    return len(words) <= len(entry) and all(
        full.startswith(word) for word, full in zip(words, entry, strict=False)
    )


def split_words(text: str) -> list[str]:
    """Return the words of `conditional-weakening`, `conditional_weakening` or with a space."""
    return re.split(r"[\s_-]+", text.strip().lower())


def number_column(key: str) -> str | None:
    """Return the column of neuron_overview that a key names; `|in_out|` for its absolute value."""
    if len(key) > 2 and key[0] == key[-1] == "|":
        inner = number_column(key[1:-1])
        return None if inner is None else f"|{inner}|"
    lowered = key.lower()
    if lowered in ALIASES:
        return ALIASES[lowered]
    column = lowered.replace("-", "_")
    column = ALIASES.get(column, column)
    return column if column in NUMBERS else None


TOKEN_KEYS: Final = {
    "token": "token",
    "lm_head.token": "lm_head.token",
    "promotes": "out.top.unembed.token",
    "suppresses": "out.bottom.unembed.token",
    "reads": "gate.in.top.unembed.token",
}
"""What may stand before a token; besides, `token` after any of the qualifiers."""

QUALIFIERS: Final = (*VECTORS, *DIRECTIONS, *BASES)


def token_lists(qualifiers: Sequence[str]) -> tuple[int, ...]:
    """Return the codes of the lists: by default any vector, its top, of the unembedding."""
    return tuple(
        token_list(VECTORS.index(vector), BASES.index(basis), DIRECTIONS.index(direction))
        for vector in _chosen(qualifiers, VECTORS, VECTORS)
        for basis in _chosen(qualifiers, BASES, BASES[:1])
        for direction in _chosen(qualifiers, DIRECTIONS, DIRECTIONS[:1])
    )


def _chosen(
    qualifiers: Sequence[str], among: Sequence[str], default: Sequence[str]
) -> Sequence[str]:
    return [word for word in among if word in qualifiers] or default
