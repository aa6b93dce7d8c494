"""The words of the find language and what each stands for; docs/find.md describes them to users."""

from collections.abc import Sequence
from typing import Final

from neurondb.contracts.annotations import STAR_KEY
from neurondb.find.terms import And, Compare, Expression, IsMarked, Missing, Not, OneOf, Or
from neurondb.schema.codes import (
    BASES,
    DIRECTIONS,
    PEAK_PLACES,
    SIGN_CASES,
    VECTORS,
    encode_peak_list,
    encode_token_list,
)
from neurondb.schema.views import CASE_COLUMNS
from neurondb.taxonomy import CLASSES, ORTHOGONAL, UNDEFINED

DATASET_KEY: Final = "dataset"
"""The key that names the dataset whose activations are meant; it is no column."""

CONCEPT_KEY: Final = "concept"
"""What stands before a word or phrase that `neurondb concept` was asked for; no column."""

FAMILY_KEY: Final = "family"
SCORE_KEY: Final = "score"
"""What stands before a family or a test of tokens, and before how well it explains a neuron."""

ROLES: Final = ("prediction", "suppression", "partition", "none")

DEAD: Final = Or(
    (  # each side false, not unknown, where the other decides: else `not dead` would lose neurons
        And((Not(Missing("freq")), OneOf("freq", (0,)))),
        And((Missing("freq"), OneOf("post_positive", (0,)))),
    ),
)
"""Never active: x_gate is never positive; of an ungated neuron, hook_post never is."""


def _list_classes(*, atypical: bool) -> tuple[str, ...]:
    """Return the names of the typical or of the atypical classes."""
    return tuple(c.name for c in CLASSES if c.name.startswith("atypical ") == atypical)


def list_class_words() -> dict[str, Expression]:
    """Return every name of a class or group of classes, in words parted by spaces → its meaning."""
    manipulators = tuple(c.name for c in CLASSES if c.class_id != ORTHOGONAL)
    words: dict[str, Expression] = {
        "typical": OneOf("class", _list_classes(atypical=False)),
        "atypical": OneOf("class", _list_classes(atypical=True)),
        "input manipulators": OneOf("class", manipulators),
    }
    for read_write_class in (*CLASSES, UNDEFINED):
        words[read_write_class.name] = words[read_write_class.io_name] = OneOf(
            "class", (read_write_class.name,)
        )
    return words


CLASS_WORDS: Final = list_class_words()
ROLE_WORDS: Final[dict[str, Expression]] = {role: OneOf("role", (role,)) for role in ROLES}
BARE_WORDS: Final[dict[str, Expression]] = {
    **CLASS_WORDS,
    **{role: ROLE_WORDS[role] for role in ROLES if role != "none"},
    "starred": IsMarked(STAR_KEY),
    "annotated": IsMarked(),
    "dead": DEAD,
    "significant": Compare("significant_in_out", ">", 0),
}
"""Words that may stand without a comparison → their meaning."""

TOKEN_KEYS: Final = {
    "token": "token",
    "lm_head.token": "lm_head.token",
    "promotes": "out.top.unembed.token",
    "suppresses": "out.bottom.unembed.token",
    "reads": "gate.in.top.unembed.token",
}
"""Keys that compare a token → their qualified form; `token` after any qualifiers is one too."""

PEAK_KEYS: Final = {"fires.token": "peak", "fires.previous": "previous", "fires.next": "next"}
"""What may stand before a token that a neuron fires on, after or before, with sign cases in front
→ its place in `peak_token_lists`."""
CASE_QUALIFIERS: Final = {
    **{case: case for case in SIGN_CASES},
    **{column: case for case, column in CASE_COLUMNS.items()},
}
"""Spelling of a sign case in front of such a key → the case."""

QUALIFIERS: Final = (*VECTORS, *DIRECTIONS, *BASES)


def choose_token_lists(qualifiers: Sequence[str]) -> tuple[int, ...]:
    """Return the codes of the token lists that qualifiers choose.

    Unless they say otherwise it is the top of any vector, by the unembedding.
    """
    return tuple(
        encode_token_list(VECTORS.index(vector), BASES.index(basis), DIRECTIONS.index(direction))
        for vector in _choose(qualifiers, VECTORS, VECTORS)
        for basis in _choose(qualifiers, BASES, BASES[:1])
        for direction in _choose(qualifiers, DIRECTIONS, DIRECTIONS[:1])
    )


def choose_peak_lists(cases: Sequence[str], place: str) -> tuple[int, ...]:
    """Return the codes of the lists of a place's tokens: of these sign cases, of none of all."""
    return tuple(
        encode_peak_list(code, PEAK_PLACES.index(place))
        for code, case in enumerate(SIGN_CASES)
        if not cases or case in cases
    )


def _choose(
    qualifiers: Sequence[str], order: Sequence[str], default: Sequence[str]
) -> Sequence[str]:
    return [word for word in order if word in qualifiers] or default
