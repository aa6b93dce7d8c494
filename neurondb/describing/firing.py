"""What the strongest texts of a neuron have in common: a token, a few, or a property of tokens.

An example of hook_post is a text and the position of its peak. Of the tokens at the peaks, before
them and after them this module finds what is there far more often than chance would have it
(METHODS §5).
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from neurondb.describing.chance import measure_one_surprise, measure_surprise
from neurondb.describing.evidence import Firing
from neurondb.describing.vocabulary import TokenKin

NO_TOKEN: Final = -1
PLACES: Final = {"on": 0, "after": -1, "before": 1}
"""What a description says → where the token stands, seen from the peak."""
LEAST_SURPRISE: Final = 15.0
"""Nats; a choice among fifty thousand tokens alone gives eleven."""
LEAST_SHARE: Final = 0.3
FEWEST_OF_ONE: Final = 3
"""Texts that have the first word; of two that share one, chance has many."""
LEAST_PROPERTY_SHARE: Final = 0.6
NEARLY: Final = 0.95
"""A property is named where it is nearly as surprising as the words that have it."""
MOST_WORDS: Final = 3
FEWEST: Final = 4
"""With fewer texts than this nothing is said of what they share."""
FIRST_TOKEN: Final = "the first token"  # noqa: S105  (a place in a text, no secret)


class Peaks(NamedTuple):
    """The strongest texts of some neurons, the strongest first.

    Attributes:
        tokens: place → the token ids there, `NO_TOKEN` where a text has none or there is no text.
        first: whether the peak is the first position of the text.
    """

    tokens: dict[str, Int[np.ndarray, "neurons texts"]]
    first: Bool[np.ndarray, "neurons texts"]


class Shares(NamedTuple):
    """How often a random token of the dataset is in each group, and has each property."""

    group: Float[np.ndarray, " groups"]
    property: Float[np.ndarray, " properties"]


def find_firing(peaks: Peaks, kin: TokenKin, shares: Shares) -> list[Firing | None]:
    """Return what the texts of each neuron share, the most surprising of all that they do."""
    n_texts = (peaks.tokens["on"] != NO_TOKEN).sum(1)
    best: list[Firing | None] = [None] * len(n_texts)
    for place, tokens in peaks.tokens.items():
        for neuron, found in _find_shared(place, tokens, n_texts, kin, shares):
            rival = best[neuron]
            if rival is None or _rank(found) > _rank(rival):
                best[neuron] = found
    n_first = peaks.first.sum(1)
    for neuron in np.flatnonzero((n_first >= 0.75 * n_texts) & (n_texts >= FEWEST)).tolist():
        n, count = int(n_texts[neuron]), int(n_first[neuron])
        best[neuron] = Firing("on", (FIRST_TOKEN,), count, n, 5.0 * count)
    return best


def _rank(found: Firing) -> tuple[float, bool]:
    """Return what decides between two: the token at the peak itself has a head start."""
    return found.surprise * (1.15 if found.place == "on" else 1.0), found.place == "on"


def _find_shared(
    place: str,
    tokens: Int[np.ndarray, "neurons texts"],
    n_texts: Int[np.ndarray, " neurons"],
    kin: TokenKin,
    shares: Shares,
) -> Iterator[tuple[int, Firing]]:
    """Yield (neuron, what its texts share at a place) for each neuron whose texts share something.

    A property is named where it is as surprising as the tokens themselves, or nearly so.
    """
    missing = tokens == NO_TOKEN
    counts, surprise = _measure_properties(tokens, missing, n_texts, kin, shares)
    best = surprise.argmax(1) if surprise.shape[1] else np.zeros(len(tokens), dtype=np.int64)
    groups = np.where(missing, NO_TOKEN, kin.group[np.where(missing, 0, tokens)])
    ordered = np.sort(groups, axis=1)
    repeats = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NO_TOKEN)).any(1)
    for neuron in np.flatnonzero(n_texts >= FEWEST).tolist():
        found = None
        if repeats[neuron]:
            found = _find_tokens(
                place, tokens[neuron], groups[neuron], n_texts[neuron], kin, shares
            )
        column = int(best[neuron])
        nats = float(surprise[neuron, column]) if surprise.shape[1] else 0.0
        if nats >= LEAST_SURPRISE and (found is None or nats >= NEARLY * found.surprise):
            examples = _list_members(tokens[neuron], column, kin)
            words = (kin.names[column], *kin.choose_distinct(examples, MOST_WORDS - 1))
            count = int(counts[neuron, column])
            found = Firing(place, words, count, int(n_texts[neuron]), nats, is_property=True)
        if found is not None:
            yield neuron, found


def _measure_properties(
    tokens: Int[np.ndarray, "neurons texts"],
    missing: Bool[np.ndarray, "neurons texts"],
    n_texts: Int[np.ndarray, " neurons"],
    kin: TokenKin,
    shares: Shares,
) -> tuple[Int[np.ndarray, "neurons properties"], Float[np.ndarray, "neurons properties"]]:
    """Return how many texts of each neuron have each property, and how surprising that is."""
    counts = np.zeros((len(tokens), len(kin.names)), dtype=np.int64)
    for column in range(tokens.shape[1]):
        has = kin.members[np.where(missing[:, column], 0, tokens[:, column])]
        counts += has & ~missing[:, column, None]
    n = np.maximum(n_texts, 1)[:, None]
    base = np.broadcast_to(shares.property, counts.shape)
    nats = measure_surprise(counts / n, 1, base) * n
    return counts, np.where(counts >= LEAST_PROPERTY_SHARE * n, nats, 0.0)


def _list_members(tokens: Int[np.ndarray, " texts"], column: int, kin: TokenKin) -> list[int]:
    """Return the tokens that have a property, the most frequent first, then the strongest."""
    counted = Counter(t for t in tokens.tolist() if t != NO_TOKEN and kin.members[t, column])
    return [token for token, _ in counted.most_common()]


def _find_tokens(
    place: str,
    tokens: Int[np.ndarray, " texts"],
    groups: Int[np.ndarray, " texts"],
    n: int,
    kin: TokenKin,
    shares: Shares,
) -> Firing | None:
    """Return the words that stand in several texts, if together they are beyond chance."""
    counted = Counter(g for g in groups.tolist() if g != NO_TOKEN)
    rival = [
        (measure_one_surprise(count, n, shares.group[group]), group)
        for group, count in counted.items()
        if count > 1
    ]
    chosen = [group for nats, group in sorted(rival, key=lambda r: (-r[0], r[1])) if nats > 3]
    chosen = chosen[:MOST_WORDS]
    count = sum(counted[group] for group in chosen)
    if not chosen or count < LEAST_SHARE * n or counted[chosen[0]] < FEWEST_OF_ONE:
        return None
    surprise = measure_one_surprise(count, n, sum(shares.group[group] for group in chosen))
    if surprise < LEAST_SURPRISE:
        return None
    spelled = Counter(tokens.tolist())
    words = []
    for group in chosen:
        of_group = [t for t in spelled if t != NO_TOKEN and kin.group[t] == group]
        words.append(kin.spelled[max(of_group, key=lambda t: (spelled[t], -t))])
    return Firing(place, tuple(words), count, n, surprise)
