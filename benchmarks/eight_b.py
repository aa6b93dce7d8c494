"""A database of the size of an 8B model, of made-up numbers, through the project's own writers.

Sizes, shares of the classes and mean frequencies are those published for Llama-3.1-8B
(weakening-neurons, tables 1 and 5); tokens come with a heavy tail, and half of a neuron's are
neighbours, so that its lists have some in common. A second, small and ungated model shares the
file.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf
from sqlalchemy import Engine

from ingest.activations.reduction import GATED, HOOK_POST, HOOK_PRE, UNGATED
from neurondb import histogram, migrate
from neurondb.contracts.activations import ActivationsRecord, Examples, Moments, SignCase
from neurondb.contracts.model import ModelRecord, RunRecord, Token
from neurondb.contracts.texts import DatasetRecord, TokenizationRecord
from neurondb.contracts.tokens import LmHeadTokens
from neurondb.contracts.vocabulary import TokenList, VocabularyMoments, VocabularyRecord
from neurondb.contracts.weights import Baseline, WeightsRecord
from neurondb.schema import tables
from neurondb.schema.codes import (
    GATED_CASES,
    QUANTITIES,
    TOKEN_LISTS,
    UNGATED_CASES,
    VECTORS,
    encode_example_list,
    list_sides,
)
from neurondb.writing import datasets, indexes, models
from neurondb.writing import vocabulary as vocabulary_rows
from neurondb.writing.activations import write_activations
from neurondb.writing.ledger import WHOLE_MODEL, Ledger, Step, StepWriter
from neurondb.writing.packing import pack_after_load
from neurondb.writing.weights import write_classes, write_weights

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]
T = TypeVar("T")

MODEL: Final = "llama-3.1-8b"
FULL_LIST: Final = 16
"""Tokens of a token list, and texts of an example list, unless told otherwise."""

THRESHOLD: Final = 0.5
MAX_LEN: Final = 1024
NEIGHBOURS: Final = 128
WORDS: Final = (" dog", " cat", " once", " again")
FIRST_WORD: Final = 5679
"""Id of the first of `WORDS`, as common as ' dog' is."""

CLASS_COUNTS: Final = (17, 139, 56182, 14, 15807, 498, 381_856, 1144, 904, 1996, 195)
CLASS_FREQ: Final = (0.25, 0.14, 0.10, 0.12, 0.30, 0.37, 0.20, 0.58, 0.65, 0.82, 0.72)
CLASS_COSINES: Final = (
    *((0.62, 0.62, 0.68), (0.2, 0.62, 0.68), (0.2, 0.2, 0.62), (0.62, 0.2, 0.62)),
    *((0.2, 0.62, 0.1), (0.62, 0.62, 0.1), (0.15, 0, 0)),
    *((0.62, -0.62, -0.68), (0.2, 0.62, -0.68), (0.2, 0.2, -0.62), (0.62, 0.2, -0.62)),
)
"""By class: a place of (gate_in, gate_out, in_out) at least 0.1 from its borders."""


@dataclass(frozen=True)
class Fiction:
    """A model of made-up numbers; `k` tokens a token list, `n_examples` texts an example list."""

    record: ModelRecord
    k: int
    n_examples: int
    n_texts: int

    def rng(self, layer: int) -> np.random.Generator:
        """Return the source of a layer's numbers."""
        return np.random.default_rng([self.record.d_mlp, layer])

    def classes(self, layer: int) -> Ints:
        """Return the class of every neuron of a layer."""
        shares = np.array(CLASS_COUNTS) / sum(CLASS_COUNTS)
        return self.rng(layer).choice(len(shares), self.record.d_mlp, p=shares)

    @property
    def vectors(self) -> tuple[str, ...]:
        """Weight vectors of a neuron."""
        return VECTORS if self.record.gated else VECTORS[1:]


def fictions(n_layers: int, k: int, n_examples: int) -> tuple[Fiction, Fiction]:
    """Return the large model and the small one."""
    large = _model(MODEL, True, (n_layers, 4096, 14336, 128_256))
    small = _model("pythia-70m", False, (6, 512, 2048, 50_304))
    return Fiction(large, k, n_examples, 40_000), Fiction(small, k, n_examples, 1_000)


def _model(name: str, gated: bool, shape: tuple[int, int, int, int]) -> ModelRecord:
    source, activation = f"benchmarks/{name}", "silu" if gated else "gelu"
    return ModelRecord(name, source, None, "fiction", gated, activation, *shape, name, None)


def weights(fiction: Fiction, layer: int) -> WeightsRecord:
    """Make up the weight analysis of a layer."""
    rng, classes, gated = fiction.rng(layer), fiction.classes(layer), fiction.record.gated
    n, d = fiction.record.d_mlp, fiction.record.d_model
    spread = np.where(classes == 6, 0.12, 0.05)[:, None] * rng.standard_normal((n, 3))
    limit = np.where(classes == 6, 0.3, 0.09)[:, None]
    gate_in, gate_out, in_out = (
        np.array(CLASS_COSINES)[classes] + np.clip(spread, -limit, limit)
    ).T.astype(np.float32)
    norms = rng.lognormal(0, 0.2, (3, n))
    regions = [
        Baseline(kind, pair, -1.96 / d**0.5, 1.96 / d**0.5, n_pairs, 0.0)
        for kind, n_pairs in (("gaussian", None), ("mismatched", 2_000_000))
        for pair in ("gate_in", "gate_out", "in_out")[0 if gated else 2 :]
    ]
    return WeightsRecord(
        sign=rng.choice([-1, 1], n),
        gate_norm=norms[0] if gated else None,
        in_norm=norms[1],
        out_norm=norms[2],
        gate_bias=None,
        in_bias=None if gated else rng.standard_normal(n),
        penalty=(norms**2).sum(0),
        gate_in=gate_in if gated else None,
        gate_out=gate_out if gated else None,
        in_out=in_out,
        baselines=regions,
    )


def _common(rng: np.random.Generator, shape: tuple[int, ...], d_vocab: int) -> Ints:
    """Draw tokens of which the first are hundreds of times as frequent as the last."""
    return (d_vocab * rng.random(shape) ** 1.5).astype(np.int64)


def vocabulary(fiction: Fiction, layer: int) -> VocabularyRecord:
    """Make up the token lists of a layer."""
    rng, n, d_vocab = fiction.rng(layer), fiction.record.d_mlp, fiction.record.d_vocab
    themes = _common(rng, (n, 1), d_vocab)
    lists = {
        code: _token_list(rng, themes, fiction.k, d_vocab, 1 if direction == "top" else -1)
        for code, vector, _, direction in TOKEN_LISTS
        if vector in fiction.vectors
    }
    moments = {
        VECTORS.index(vector): VocabularyMoments(
            mean=rng.normal(0, 1e-3, n),
            variance=rng.lognormal(-8.3, 0.3, n),
            skewness=rng.normal(0, 0.4, n),
            kurtosis=3 + rng.lognormal(-1, 1.4, n),
            dot_variance=rng.lognormal(-7, 0.7, n),
        )
        for vector in fiction.vectors
    }
    head = {
        side: LmHeadTokens(
            token_ids=_common(rng, (n,), d_vocab),
            probability=rng.lognormal(-9, 1, n),
            normalised=1 + rng.lognormal(0, 1, n),
        )
        for side in list_sides(gated="gate" in fiction.vectors)
    }
    return VocabularyRecord(lists=lists, moments=moments, lm_head=head)


def _token_list(
    rng: np.random.Generator, themes: Ints, k: int, d_vocab: int, sign: int
) -> TokenList:
    shape, rank = (len(themes), k), np.arange(k)
    near = themes + (rng.integers(0, NEIGHBOURS, (len(themes), 1)) + 37 * rank) % NEIGHBOURS
    drawn = np.where(rank % 2, _common(rng, shape, d_vocab), near) % (d_vocab - k)
    # A list has a token once: ranks differ in what their tokens' ids leave, divided by k.
    token_ids = drawn // k * k + (rank + rng.integers(0, k, (len(themes), 1))) % k
    first = sign * rng.uniform(0.1, 0.4, (len(themes), 1))
    cosine = first * 0.97 ** (rank + rng.random(shape))
    return TokenList(token_ids, cosine.astype(np.float32))


def activations(fiction: Fiction, layer: int, lengths: Ints) -> ActivationsRecord:
    """Make up what a layer does on texts of so many tokens."""
    rng, gated, n = fiction.rng(layer), fiction.record.gated, fiction.record.d_mlp
    n_tokens = int(lengths.sum())
    mean = np.array(CLASS_FREQ)[fiction.classes(layer)]
    positive = rng.beta(6 * mean, 6 * (1 - mean))
    up = rng.beta(5, 5, n)
    cases, quantities = UNGATED_CASES, [HOOK_POST, HOOK_PRE]
    shares = [up, 1 - up]
    if gated:
        cases, quantities = GATED_CASES, list(range(len(QUANTITIES)))
        shares = [gate * share for gate in (positive, 1 - positive) for share in shares]
    return ActivationsRecord(
        n_tokens=np.full(n, n_tokens),
        n_nonfinite=np.zeros(n, dtype=np.int64),
        gate_positive=(positive * n_tokens).astype(np.int64) if gated else None,
        post_positive=(shares[0] * n_tokens).astype(np.int64),
        pre=_moments(rng, n),
        post=_moments(rng, n),
        cases={
            code: _sign_case(rng, quantities, (share * n_tokens).astype(np.int64))
            for code, share in zip(cases, shares, strict=True)
        },
        examples={
            encode_example_list(case, quantity): _examples(rng, (n, fiction.n_examples), lengths)
            for case, quantity in (GATED if gated else UNGATED).peaks
        },
        histograms={
            quantity: _histogram(rng, n_tokens // histogram.STRIDE, n)
            for quantity in (GATED if gated else UNGATED).histograms
        },
        labels={},
        controls={},
    )


def _histogram(rng: np.random.Generator, n_tokens: int, n: int) -> Ints:
    """Make up the counts of n bell-shaped histograms."""
    below = 0.5 * (1 + erf(histogram.compute_edges() / 2**0.5))
    counts: Ints = rng.multinomial(n_tokens, np.diff(below, prepend=0.0, append=1.0), n)
    return counts


def _moments(rng: np.random.Generator, n: int) -> Moments:
    skewness = rng.normal(0, 1, n)
    kurtosis = 1 + skewness**2 + rng.lognormal(0, 1, n)
    return Moments(rng.normal(0, 0.1, n), rng.lognormal(0, 1, n), skewness, kurtosis)


def _sign_case(rng: np.random.Generator, quantities: list[int], count: Ints) -> SignCase:
    middle = {q: rng.normal(0, 0.1, len(count)) for q in quantities}
    return SignCase(
        count,
        middle,
        {q: value - rng.lognormal(0, 0.5, len(count)) for q, value in middle.items()},
        {q: value + rng.lognormal(0, 0.5, len(count)) for q, value in middle.items()},
    )


def _examples(rng: np.random.Generator, shape: tuple[int, int], lengths: Ints) -> Examples:
    ordinal = rng.integers(0, len(lengths), shape)
    position = (rng.random(shape) * lengths[ordinal]).astype(np.int64)
    value = rng.uniform(1, 8, (shape[0], 1)) * 0.95 ** (np.arange(shape[1]) + rng.random(shape))
    ordinal[rng.random(shape[0]) < 0.02] = -1  # a sign case that never happens
    return Examples(ordinal, position, value.astype(np.float32))


def tokens(d_vocab: int) -> list[Token]:
    """Make up a vocabulary; most tokens begin with a space."""
    syllables = [c + v for c in "bcdfghjklmnprstv" for v in "aeiou"]
    n = len(syllables)
    spelled = [
        (" " if i % 3 else "") + syllables[i % n] + syllables[i // n % n] + syllables[i // n**2]
        for i in range(d_vocab)
    ]
    spelled[FIRST_WORD : FIRST_WORD + len(WORDS)] = WORDS
    return [Token(token, token.replace(" ", "Ġ")) for token in spelled]


def texts(fiction: Fiction, vocabulary: list[Token]) -> tuple[DatasetRecord, TokenizationRecord]:
    """Make up texts of 500 tokens on average, spelled as their tokens are."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(6, 0.7, fiction.n_texts), 1, MAX_LEN).astype(np.int64)
    ids = [_common(rng, (int(length),), len(vocabulary)) for length in lengths]
    spelled = ["".join([vocabulary[i].token for i in text.tolist()]) for text in ids]
    name = f"texts-of-{fiction.record.name}"
    return (
        DatasetRecord(name, "benchmarks", name, spelled),
        TokenizationRecord(MAX_LEN, 0, False, int(lengths.sum()), 0, ids),
    )


@dataclass
class StageTime:
    """What a stage wrote: rows, seconds of making them up, and seconds of writing them.

    Writing is what lies between a record of arrays and its committed rows.
    """

    rows: int = 0
    making: float = 0.0
    writing: float = 0.0


Build = dict[str, StageTime]
"""By stage; the last one is the token index and the planner's statistics."""


class _Builder:
    """Stores one fiction step by step, as the ingest job does."""

    def __init__(self, engine: Engine, fiction: Fiction, build: Build) -> None:
        self._engine, self._fiction, self._build = engine, fiction, build
        self._stored = models.store_model(engine, fiction.record, THRESHOLD, force=False)
        run = RunRecord(
            stages="weights,vocab,activations",
            torch_version="none",
            fingerprint=fiction.record.fingerprint,
            fold=True,
            center=True,
            center_gate=True,
            fold_post_norm=False,
            canonicalise=True,
            dtype="float32",
            device="cpu",
            seed=0,
        )
        self._run_id = models.start_run(engine, self._stored, run)
        self._ledger = Ledger(engine, self._stored, self._run_id, force=False)
        self._layers = range(fiction.record.n_layers)

    def run(self) -> None:
        """Store everything."""
        fiction = self._fiction
        for n in self._layers:
            self._step(Step("weights", n, {}), partial(weights, fiction, n), write_weights)
            with self._ledger.finishing(Step(f"classes {THRESHOLD:g}", n, {})) as writer:
                write_classes(writer, n, THRESHOLD)
        words = tokens(fiction.record.d_vocab)
        with self._ledger.finishing(Step("tokens", WHOLE_MODEL, {})) as writer:
            datasets.store_tokens(writer, words)
            norms = np.random.default_rng(0).lognormal(0, 0.2, (2, len(words)))
            datasets.store_token_norms(writer, *norms)
        indexes.prepare_load(self._engine, tables.top_token_rows, "vocab", self._stored)
        for n in self._layers:
            step = Step("vocab", n, {})
            self._step(step, partial(vocabulary, fiction, n), vocabulary_rows.write_vocabulary)
        self._activations(words)

    def _activations(self, words: list[Token]) -> None:
        dataset, tokenization = texts(self._fiction, words)
        dataset_id = datasets.store_dataset(self._engine, dataset)
        with self._ledger.finishing(Step("texts", WHOLE_MODEL, {}, dataset_id)) as writer:
            datasets.store_tokenization(writer, dataset_id, tokenization)
            text_ids = datasets.read_text_ids(writer.connection, dataset_id)
        lengths = np.array([len(ids) for ids in tokenization.token_ids])
        write = partial(write_activations, dataset_id=dataset_id, text_ids=text_ids)
        for n in self._layers:
            step = Step("activations", n, {}, dataset_id)
            self._step(step, partial(activations, self._fiction, n, lengths), write)
        models.set_shown(self._engine, self._stored, dataset_id=dataset_id)
        models.finish_run(self._engine, self._run_id, dataset_id)

    def _step(
        self, step: Step, make: Callable[[], T], write: Callable[[StepWriter, int, T], None]
    ) -> None:
        time_of = self._build.setdefault(step.stage, StageTime())
        started = time.perf_counter()
        record = make()
        made = time.perf_counter()
        with self._ledger.finishing(step) as writer:
            write(writer, step.layer, record)
        time_of.rows += writer.n_rows
        time_of.making += made - started
        time_of.writing += time.perf_counter() - made


def build(file: Path, fictions: Iterable[Fiction]) -> Build:
    """Write the fictions into a new database."""
    times: Build = {}
    engine = migrate.create_or_open(str(file))
    for fiction in fictions:
        _Builder(engine, fiction, times).run()
    started = time.perf_counter()
    indexes.finish_load(engine)
    indexed = time.perf_counter()
    times["packed"] = StageTime(writing=0)
    for line in pack_after_load(engine):
        print(line)
    times["packed"].writing = time.perf_counter() - indexed
    engine.dispose()
    times["index, statistics"] = StageTime(writing=indexed - started)
    return times
