"""Everything about some tokens as rows for programs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from neurondb.asking.statements import Rows
from neurondb.reading.lm_head import DecodedNeuron
from neurondb.reading.tokens import EFFECTS, by_neuron
from neurondb.render.tokens import TokenPage

COLUMNS: Final = (
    *("model", "token_id", "token", "effect", "vector", "basis", "direction", "rank", "cosine"),
    *("dot", "side", "probability", "normalised", "layer", "neuron", "name", "neuron_id", "class"),
    "n_tokens",
)
LM_HEAD: Final = "lm_head"
"""The effect of rows that the LM head decodes; those of lists have no probability."""


def token_rows(
    page: TokenPage,
    decoded: Mapping[int, Sequence[DecodedNeuron]],
    classes: Mapping[int, str],
) -> Rows:
    """Return a row a place of a token in a list, and a row a decoded side of a neuron.

    Args:
        page: what was found in the lists.
        decoded: token → neurons in the order of the rows.
        classes: neuron → name of its class, for the decoded ones.
    """
    return Rows(COLUMNS, _rows(page, decoded, classes))


def _rows(
    page: TokenPage,
    decoded: Mapping[int, Sequence[DecodedNeuron]],
    classes: Mapping[int, str],
) -> Iterator[tuple[Any, ...]]:
    texts = {token.token_id: token.token for token in page.tokens}
    for effect in dict.fromkeys(EFFECTS.values()):
        n_tokens = {one.neuron_id: one.n_tokens for one in by_neuron(page.found, effect)}
        for o in (one for one in page.found if one.effect == effect):
            place = (o.vector, o.basis, o.direction, o.rank, o.cosine, o.dot, None, None, None)
            who = (o.layer, o.neuron, o.name, o.neuron_id, o.class_name, n_tokens[o.neuron_id])
            yield (page.model.name, o.token_id, texts[o.token_id], effect, *place, *who)
    for token_id, neurons in decoded.items():
        for one in neurons:
            neuron_id = page.model.first_neuron_id + one.layer * page.model.d_mlp + one.neuron
            decoded_as = ("in", *[None] * 5, one.side, one.probability, one.normalised)
            at = (one.layer, one.neuron, one.name, neuron_id, classes.get(neuron_id), None)
            yield (page.model.name, token_id, texts[token_id], LM_HEAD, *decoded_as, *at)
