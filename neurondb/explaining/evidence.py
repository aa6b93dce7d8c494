"""The evidence on a neuron, as the JSON object that a program explains it from.

It holds what the database has of weights, vocabulary and texts, for both signs; nothing that
people or programs said of the neuron. docs/commands/explain.md describes every key. Of each list
of texts only every second is shown, from the first on: `detection` asks about the others.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from sqlalchemy import Connection

from neurondb.contracts.explain import EvidenceOptions
from neurondb.reading.activations import Activations, SignCase, Spread
from neurondb.reading.examples import (
    Example,
    ExampleList,
    ExampleOptions,
    read_control_lists,
    read_example_lists,
)
from neurondb.reading.models import Model
from neurondb.reading.neuron import NeuronSummary, read_neuron_summary
from neurondb.reading.texts import EXAMPLES_PER_LIST
from neurondb.reading.traces import Trace
from neurondb.reading.vocabulary import ScoredToken, Vocabulary, read_vocabulary

SCHEMA: Final = "neurondb.evidence/1"
"""Name and version of the form; another version where a key changes its meaning or goes."""
DIGITS: Final = 4
"""Significant digits of a number: what a reader of it can use."""

_PLACES: Final = {"on": 0, "after": -1, "before": 1}
"""Which token a neuron fires on, after or before → its steps from the peak."""

Json = dict[str, Any]


def is_shown(rank: int) -> bool:
    """Tell whether the text of this rank in its list is evidence; it is held out otherwise."""
    return rank % 2 == 0


def encode(given: Json) -> bytes:
    """Return the bytes that a program gets: JSON in UTF-8, one line."""
    return (json.dumps(given, ensure_ascii=False, allow_nan=False) + "\n").encode()


def compute_digest(given: bytes) -> str:
    """Return sha256 over what a program gets, which tells whether it was asked this before."""
    return hashlib.sha256(given).hexdigest()


def read_evidence(
    connection: Connection, model: Model, layer: int, neuron: int, options: EvidenceOptions
) -> Json:
    """Return the evidence on a neuron.

    Args:
        connection: an open connection.
        model: the neuron's model.
        layer: its layer, from 0.
        neuron: its number in the layer, from 0.
        options: how much of it.

    Raises:
        UnknownNameError: when there is no such neuron or dataset.
    """
    summary = read_neuron_summary(connection, model, layer, neuron, options.dataset)
    key = summary.identity.neuron_id
    vocabulary = read_vocabulary(connection, model, key, "unembed", options.tokens)
    return {
        "schema": SCHEMA,
        "task": "explain",
        "model": _describe_model(model),
        "neuron": _describe_neuron(summary, vocabulary),
        "cosines": {one.pair: _round(one.value) for one in summary.cosines},
        "vocabulary": _describe_vocabulary(vocabulary),
        "activations": _describe_activations(summary.activations),
        "cases": _read_cases(connection, summary, options),
        "controls": _read_controls(connection, summary, options),
    }


def _describe_model(model: Model) -> Json:
    names = ("name", "architecture", "activation", "gated", "n_layers", "d_model", "d_mlp")
    return {name: getattr(model, name) for name in names}


def _describe_neuron(summary: NeuronSummary, vocabulary: Vocabulary | None) -> Json:
    identity, read_write = summary.identity, summary.verdict.read_write
    return {
        "name": identity.name,
        "layer": identity.layer,
        "neuron": identity.neuron,
        "sign": identity.sign,
        "class": None if read_write is None else read_write.name,
        "threshold": None if read_write is None else read_write.threshold,
        "role": None if vocabulary is None else vocabulary.role,
        "cautions": [one.reason for one in summary.verdict.cautions],
    }


def _describe_vocabulary(vocabulary: Vocabulary | None) -> Json:
    """Return vector → direction → tokens; empty where no vocabulary is stored."""
    lists: Json = {}
    for one in () if vocabulary is None else vocabulary.lists:
        lists.setdefault(one.vector, {})[one.direction] = list(map(_describe_token, one.tokens))
    return lists


def _describe_token(token: ScoredToken) -> Json:
    return {"token": token.token, "cosine": _round(token.cosine)}


def _describe_activations(activations: Activations | None) -> Json | None:
    if activations is None:
        return None
    return {
        "dataset": activations.dataset.name,
        "n_tokens": activations.n_tokens,
        "gate_positive": _round(activations.freq),
        "post_positive": _round(activations.post_positive),
        "post": {name: _round(value) for name, value in asdict(activations.post).items()},
        "strongest_case": activations.strongest,
    }


def _read_cases(
    connection: Connection, summary: NeuronSummary, options: EvidenceOptions
) -> list[Json]:
    """Return an entry for each sign case, that of the largest |hook_post| first."""
    activations, model = summary.activations, summary.model
    if activations is None:
        return []
    key = summary.identity.neuron_id
    of_all = ExampleOptions("hook_post", None, EXAMPLES_PER_LIST, options.radius)
    cases = []
    for one in sorted(activations.cases, key=lambda c: c.sign_case != activations.strongest):
        of_case = replace(of_all, case=one.sign_case)
        (found,) = read_example_lists(connection, model, key, activations, of_case)
        cases.append(_describe_case(one) | _describe_examples(found, options))
    return cases


def _describe_case(case: SignCase) -> Json:
    spreads = {"post": case.post, "in": case.pre_linear, "gate": case.pre}
    if not case.sign_case.startswith("gate"):  # hook_pre of an ungated neuron is x_in
        spreads = {"post": case.post, "in": case.pre}
    return {
        "case": case.sign_case,
        "count": case.count,
        "freq": _round(case.freq),
        **{name: _describe_spread(spread) for name, spread in spreads.items()},
    }


def _describe_spread(spread: Spread) -> Json:
    return {name: _round(value) for name, value in asdict(spread).items()}


def _describe_examples(found: ExampleList, options: EvidenceOptions) -> Json:
    shown = [one for one in found.examples if is_shown(one.rank)][: options.examples]
    return {
        "bos_only": found.bos_only,
        "examples": list(map(_describe_example, shown)),
        "peak_tokens": {
            name: _count_tokens(shown, step, options.tokens) for name, step in _PLACES.items()
        },
    }


def _count_tokens(shown: Sequence[Example], step: int, most: int) -> list[Json]:
    """Return the tokens so many steps from the peaks of the shown texts, the most frequent first.

    What the database has of peak tokens counts the held-out texts too, and would tell of them.
    """
    found: Counter[str] = Counter()
    for one in shown:
        first, tokens = one.excerpt.first, one.excerpt.tokens
        place = -1 if first is None or one.position is None else one.position - first + step
        if 0 <= place < len(tokens):
            found[tokens[place]] += 1
    return [{"token": token, "count": count} for token, count in found.most_common(most)]


def _describe_example(example: Example) -> Json:
    excerpt = example.excerpt
    at, first = example.position, excerpt.first
    peak = None if first is None or at is None else at - first
    return {
        "rank": example.rank,
        "value": _round(example.value),
        "position": example.position,
        "before": excerpt.before,
        "peak": excerpt.peak,
        "after": excerpt.after,
        "tokens": list(excerpt.tokens),
        "peak_index": peak,
        "values": _align(example.trace, excerpt.first, len(excerpt.tokens)),
    }


def _align(trace: Trace | None, first: int | None, n_tokens: int) -> Json | None:
    """Return the values of each shown token; null at those that the trace does not reach."""
    if trace is None or first is None:
        return None
    of_gate = trace.hook_pre_linear is not None
    quantities: dict[str, Sequence[float] | None] = {
        "post": trace.hook_post,
        "in": trace.hook_pre_linear if of_gate else trace.hook_pre,
        "gate": trace.hook_pre if of_gate else None,
    }
    places = [first + i - trace.start for i in range(n_tokens)]
    return {
        name: [_round(values[i]) if 0 <= i < len(values) else None for i in places]
        for name, values in quantities.items()
        if values is not None
    }


def _read_controls(
    connection: Connection, summary: NeuronSummary, options: EvidenceOptions
) -> list[Json]:
    if summary.dataset is None:
        return []
    of_all = ExampleOptions(count=EXAMPLES_PER_LIST, radius=options.radius)
    key = summary.identity.neuron_id
    kinds = read_control_lists(connection, summary.model, key, summary.dataset, of_all)
    return [
        {
            "kind": kind.kind,
            "examples": [_describe_example(one) for one in kind.examples if is_shown(one.rank)][
                : options.examples
            ],
        }
        for kind in kinds
    ]


def _round(value: float | None) -> float | None:
    """Return a number in so many digits; what is no finite number has no place in JSON."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{DIGITS}g}")
