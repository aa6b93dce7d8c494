"""A small database made by plain inserts, and the same facts as Python lists to compare with.

Two models of 4 layers × 64 neurons: `sample-llama` is gated and has everything, `sample-gpt` is
ungated, so that every column which needs a gate is NULL. They share token texts under different
ids. Nothing here is computed by the code under test.

A conftest or a test module gets the fixtures by importing them.
"""

import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Table, insert

from neurondb.database import open_existing
from neurondb.migrate import create_or_open
from neurondb.schema import codes, tables
from neurondb.taxonomy import CLASSES, UNDEFINED

LAYERS, WIDTH, TOP, DATASET = 4, 64, 4, 1
NEURONS = LAYERS * WIDTH
THRESHOLD = 0.5
REGION = 0.25
"""Cosines within ± this are random in every layer."""

VOCABULARY = (
    *(" dog", "dog", " Dog", " cat", "cat", "\n", "\t", " ", "", "'", '"', "it's", "a|b", "<b>"),
    *("\x1b[31m", "\\xe2", "été", " 犬", "🐕", "null", "#1", "and", "\u202e", "a,b", "\r", "0.5"),
)
TEXTS = (
    "Once upon a time there was a dog.",
    "two\nlines\tand a tab",
    "\x1b[31mred\x1b[0m escape, a bell \x07",
    "quotes ' and \", pipes |, commas, <b>html</b>",
    "été 犬 🐕 \u202ereversed",
)

LABELS = ("web", "books")
"""Of the texts in turn."""
TEXT_TOKENS = 12
"""Tokens of each text as `sample-llama` reads it."""
PROPERTIES: dict[str, Callable[[str], bool]] = {
    "starts with space": lambda token: token.startswith(" "),
    "is ascii": lambda token: token.isascii(),
}
DECODED = " dog"
"""The token stored for all neurons."""
BINS = 60
METRICS = ("loss", "entropy", "rank", "scale")
EACH_RUN, ATTRIBUTION_RUN = 900, 950
"""Before the number of the model, the run that removed its neurons, and that which estimated it."""
CLASS_RUN, RANDOM_RUN = 960, 970
"""And the one on a class of them together, and on random ones instead."""
NONFINITE = 7
"""Tokens left out of each first neuron of a layer."""

Row = dict[str, Any]
Insertions = dict[Table, list[Row]]


class Sample:
    """Where the database is, and what is in it.

    `neurons` has one row a neuron, the columns of neuron_overview worked out in Python; `top` the
    token texts by (neuron_id, list code) and rank; `head` the tokens of the LM-head decoding of
    +in, `head_turned` of −in by neuron of the gated model;
    `norms` those of tokens by (model, token, basis); `double` the rows of double_checking by
    neuron; `decoded` the probability of DECODED by neuron, `decoded_turned` at −in.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.neurons: list[Row] = []
        self.top: dict[tuple[int, int], list[str]] = {}
        self.head: dict[int, str] = {}
        self.head_turned: dict[int, str] = {}
        self.cases: list[Row] = []
        self.examples: list[Row] = []
        self.labels: list[Row] = []
        self.norms: dict[tuple[str, str, str], float] = {}
        self.double: dict[int, Row] = {}
        self.decoded: dict[int, float] = {}
        self.decoded_turned: dict[int, float] = {}
        self.effects: list[Row] = []
        self.compared: list[Row] = []

    def heads(self, neuron_id: int) -> tuple[str, ...]:
        """Return the top tokens of the LM-head decoding at the sides of `in`, +in first."""
        turned = self.head_turned.get(neuron_id)
        return (self.head[neuron_id], *([] if turned is None else [turned]))

    @property
    def url(self) -> str:
        """What --db takes."""
        return str(self.path)

    def named(self, model: str, name: str) -> Row:
        """Return one neuron."""
        return next(n for n in self.neurons if n["model"] == model and n["name"] == name)


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """The sample database; to be read only."""
    return build(tmp_path_factory.mktemp("sample") / "sample.db")


@pytest.fixture(scope="session")
def sample_engine(sample: Sample) -> Iterator[Engine]:
    """An engine on the sample database that cannot write."""
    engine = open_existing(sample.url)
    yield engine
    engine.dispose()


def build(path: Path) -> Sample:
    """Write the database to `path` and return what is in it."""
    sample = Sample(path)
    engine = create_or_open(str(path))
    with engine.begin() as connection:
        _shared(connection)
        for model_id, gated in ((1, True), (2, False)):
            _Model(model_id, gated, sample).write(connection)
        _comparison(connection, sample)
        connection.exec_driver_sql("ANALYZE")
    engine.dispose()
    return sample


def _put(connection: Connection, rows: Insertions) -> None:
    for table, some in rows.items():
        if some:
            connection.execute(insert(table), some)


def _shared(connection: Connection) -> None:
    dataset = {"dataset_id": DATASET, "name": "sample", "source": "here", "fingerprint": "f"}
    texts = [
        {"text_id": i + 1, "dataset_id": DATASET, "ordinal": i, "text": text, "label_id": 1 + i % 2}
        for i, text in enumerate(TEXTS)
    ]
    labels = [
        {"label_id": i + 1, "dataset_id": DATASET, "label": label} for i, label in enumerate(LABELS)
    ]
    properties = [
        {"property_id": i + 1, "name": name, "description": f"it {name}"}
        for i, name in enumerate(PROPERTIES)
    ]
    rows: Insertions = {tables.dataset_rows: [dataset | {"n_texts": len(TEXTS)}]}
    rows |= {tables.labels: labels, tables.texts: texts, tables.properties: properties}
    _put(connection, rows)


def _comparison(connection: Connection, sample: Sample) -> None:
    """The two models neuron by neuron, whatever sense that makes."""
    draw = random.Random("comparison")
    models = {"model_a": 1, "model_b": 2, "created_at": "2026-01-01", "tool_version": "0"}
    class_ids = {c.name: c.class_id for c in (*CLASSES, UNDEFINED)}
    for a, b in zip(sample.neurons[:NEURONS], sample.neurons[NEURONS:], strict=True):
        row: Row = {"comparison_id": 1, "layer": a["layer"], "neuron": a["neuron"]}
        row |= {"in_cosine": round(draw.uniform(-1, 1), 2)}
        row |= {"out_cosine": round(draw.uniform(-1, 1), 2)}
        row |= {"same_token": sample.head[a["neuron_id"]] == sample.head[b["neuron_id"]]}
        row |= {"class_a": class_ids[a["class"]], "class_b": class_ids[b["class"]]}
        sample.compared.append(row | {"moved": 1 - min(row["in_cosine"], row["out_cosine"])})
    share = sum(row["same_token"] for row in sample.compared) / NEURONS
    comparison = {"comparison_id": 1, **models, "share_same_token": share}
    rows = {tables.comparisons: [comparison], tables.comparison_neurons: sample.compared}
    _put(connection, rows)


def _class_name(gated: bool, gate_in: float | None, gate_out: float | None, in_out: float) -> str:
    """The table of METHODS §2, once more and by hand."""

    def level(x: float | None) -> int:
        return 0 if x is None else (x > THRESHOLD) - (x < -THRESHOLD)

    a, g, c = level(in_out), level(gate_out), level(gate_in)
    if not gated:
        return {1: "strengthening", 0: "orthogonal output", -1: "weakening"}[a]
    names = {
        (1, 1): ("strengthening", c == g),
        (1, 0): ("conditional strengthening", c == 0),
        (0, 1): ("proportional change", c == 0),
        (0, 0): ("orthogonal output", True),
        (-1, 1): ("weakening", c == -g),
        (-1, 0): ("conditional weakening", c == 0),
    }
    name, typical = names[a, abs(g)]
    return name if typical else f"atypical {name}"


def _double(top: dict[int, set[str]]) -> Row:
    """How far gate and in overlap under U, from the tokens of their four lists by code."""

    def overlap(a: int, b: int) -> float:
        return len(top[a] & top[b]) / len(top[a] | top[b])

    gate, same = (
        [codes.encode_token_list(0, 0, end) for end in (0, 1)],
        codes.encode_token_list(1, 0, 0),
    )
    opposite = codes.encode_token_list(1, 0, 1)
    if overlap(gate[0], opposite) > overlap(gate[0], same):
        ends, sign = (opposite, same), -1
    else:
        ends, sign = (same, opposite), 1
    found = {"jaccard": overlap(gate[0], ends[0]), "bottom_jaccard": overlap(gate[1], ends[1])}
    return found | {"relative_sign": sign, "k": TOP}


def _role(out: Row) -> str | None:
    if out["kurtosis"] > 10 and out["skewness"] > 0:
        return "prediction"
    if out["kurtosis"] > 10 and out["skewness"] < 0:
        return "suppression"
    return "partition" if out["variance"] > 0.005 else None


class _Model:
    """Draws one model's rows, reproducibly, and remembers them in the sample."""

    def __init__(self, model_id: int, gated: bool, sample: Sample) -> None:
        self.model_id, self.gated, self.sample = model_id, gated, sample
        self.name = "sample-llama" if gated else "sample-gpt"
        self.first = (model_id - 1) * NEURONS
        self.draw = random.Random(model_id)
        self.effect = random.Random(f"effects {model_id}")
        self.more = random.Random(f"summaries {model_id}")  # leaves what `draw` gives as it was
        # The second model has the same texts under other ids, and one of its own.
        own = [*VOCABULARY] if gated else [*reversed(VOCABULARY), " only-gpt"]
        self.vocabulary = own
        self.rows: Insertions = {}

    def write(self, connection: Connection) -> None:
        """Insert everything."""
        self._model()
        for i in range(NEURONS):
            self._neuron(i)
        self._class_run()
        _put(connection, self.rows)

    def _add(self, table: Table, **row: Any) -> Row:
        self.rows.setdefault(table, []).append(row)
        return row

    def _share(self) -> float:
        """A frequency that others have too, so that equality is worth testing."""
        return round(self.draw.random(), 1)

    def _model(self) -> None:
        self._add(
            tables.models,
            model_id=self.model_id,
            name=self.name,
            source="here",
            architecture="llama" if self.gated else "gpt2",
            gated=self.gated,
            activation="silu" if self.gated else "relu",
            n_layers=LAYERS,
            d_model=16,
            d_mlp=WIDTH,
            d_vocab=len(self.vocabulary),
            fingerprint="f",
            first_neuron_id=self.first,
            threshold=THRESHOLD,
            dataset_id=DATASET,
            each_run_id=EACH_RUN + self.model_id,
            attribution_run_id=ATTRIBUTION_RUN + self.model_id,
        )
        self._runs()
        for layer in range(LAYERS):
            self._add(tables.layers, model_id=self.model_id, layer=layer)
            for kind in ("gaussian", "mismatched"):
                for pair in ("gate_in", "gate_out", "in_out") if self.gated else ("in_out",):
                    where = {"model_id": self.model_id, "layer": layer, "kind": kind, "pair": pair}
                    self._add(tables.baselines, **where, low=-REGION, high=REGION)
        for token_id, token in enumerate(self.vocabulary):
            norms = {f"{b}_norm": round(self.more.uniform(0.5, 2), 2) for b in codes.BASES}
            key = {"model_id": self.model_id, "token_id": token_id}
            self._add(tables.tokens, **key, token=token, **norms)
            for basis in codes.BASES:
                self.sample.norms[self.name, token, basis] = norms[f"{basis}_norm"]
            for property_id, of_property in enumerate(PROPERTIES.values(), 1):
                if of_property(token):
                    self._add(tables.token_property_rows, **key, property_id=property_id)
        for text_id in range(1, len(TEXTS) + 1) if self.gated else ():
            ids = [self.more.randrange(len(self.vocabulary)) for _ in range(TEXT_TOKENS)]
            self._add(
                tables.text_token_ids,
                model_id=self.model_id,
                text_id=text_id,
                token_ids=struct.pack(f"<{len(ids)}I", *ids),
            )

    def _runs(self) -> None:
        """One run that removed neurons one at a time, and one that estimated it."""
        for first, kind in ((EACH_RUN, "each"), (ATTRIBUTION_RUN, "attribution")):
            run_id = first + self.model_id
            run = {"run_id": run_id, "set_id": run_id, "kind": kind, "mode": "zero"}
            self._add(tables.neuron_sets, set_id=run_id, definition=f"{kind} of {self.name}")
            where = {"model_id": self.model_id, "dataset_id": DATASET}
            size = {"n_texts": 5, "n_tokens": 60, "max_len": 64}
            more: Row = {"baseline_of": None, "seconds": 2.5}
            self._add(tables.ablation_runs, **run, **where, **size, **more)

    def _class_run(self) -> None:
        """A run that removed the weakening neurons together, and one on random ones instead."""
        own = [n for n in self.sample.neurons if n["model"] == self.name]
        weakening = [n["neuron_id"] for n in own if n["class"] == "weakening"]
        others = [n["neuron_id"] for n in own if n["class"] == "undefined"]
        definitions = ("class='weakening'", "baseline of class='weakening'")
        for first, ids, definition in zip(
            (CLASS_RUN, RANDOM_RUN), (weakening, others), definitions, strict=True
        ):
            run_id = first + self.model_id
            run = {"run_id": run_id, "set_id": run_id, "mode": "zero", "max_len": 64}
            parent = None if first == CLASS_RUN else CLASS_RUN + self.model_id
            self._add(tables.neuron_sets, set_id=run_id, definition=definition)
            for neuron_id in ids:
                self._add(tables.neuron_set_members, set_id=run_id, neuron_id=neuron_id)
            where = {"model_id": self.model_id, "dataset_id": DATASET, "baseline_of": parent}
            more: Row = {"kind": "together", "n_texts": 5, "n_tokens": 60, "seconds": None}
            self._add(tables.ablation_runs, **run, **where, **more)
            self._class_results(run_id)

    def _class_results(self, run_id: int) -> None:
        for metric in METRICS:
            mean = round(self.effect.gauss(0, 1), 3)
            for filter_, n in (("all", 60), ("changed", 40)):
                values = dict.fromkeys(("mean", "q25", "q50", "q75", "min", "max"), mean)
                row = {"run_id": run_id, "metric": metric, "filter": filter_, "n": n, "std": 1.0}
                self._add(
                    tables.ablation_results, **row, **values, clean_mean=2.0, ablated_mean=2 - mean
                )
            for low, high, n in ((-0.5, -0.25, 10), (0.25, 0.375, 30)):
                row = {"run_id": run_id, "metric": metric, "low": low, "high": high, "n": n}
                self._add(tables.ablation_histograms, **row)

    def _removal(self, neuron_id: int) -> Row:
        """What removing it does, of two thirds of the neurons; of all of them an estimate."""
        found: Row = {f"ablated_{metric}": None for metric in METRICS}
        for metric in METRICS if neuron_id % 3 else ():
            mean = found[f"ablated_{metric}"] = round(self.effect.gauss(0, 1), 3)
            row = {"run_id": EACH_RUN + self.model_id, "neuron_id": neuron_id, "n": 60}
            self._add(tables.neuron_effects, **row, metric=metric, mean=mean, std=0.5, changed=0.9)
        for metric in METRICS[:2]:
            mean = found[f"attribution_{metric}"] = round(self.effect.gauss(0, 1), 3)
            row = {"run_id": ATTRIBUTION_RUN + self.model_id, "neuron_id": neuron_id}
            self._add(tables.neuron_attributions, **row, metric=metric, mean=mean)
        return found

    def _neuron(self, i: int) -> None:
        neuron_id, (layer, number) = self.first + i, divmod(i, WIDTH)
        overview: Row = {"model": self.name, "layer": layer, "neuron": number}
        overview |= {"name": f"{layer}.{number}", "neuron_id": neuron_id}
        overview |= self._weights(neuron_id, layer, number)
        overview |= self._vocabulary(neuron_id) | self._activations(neuron_id)
        overview |= self._removal(neuron_id)
        self.sample.neurons.append(overview)

    def _weights(self, neuron_id: int, layer: int, number: int) -> Row:
        norms = {
            "gate_norm": round(self.draw.uniform(0, 3), 2) if self.gated else None,
            "in_norm": round(self.draw.uniform(0, 3), 2),
            "out_norm": round(self.draw.uniform(0, 3), 2),
            "penalty": round(self.draw.uniform(0, 9), 2),
            "sign": self.draw.choice((1, -1)),
        }
        key = {"neuron_id": neuron_id}
        place = {"model_id": self.model_id, "layer": layer, "neuron": number}
        self._add(tables.neurons, **key, **place, **norms)
        zero_vector = number == WIDTH - 1
        cosines: Row = {
            pair: None if zero_vector or not (self.gated or pair == "in_out") else self._cosine()
            for pair in ("gate_in", "gate_out", "in_out")
        }
        self._add(tables.cosines, **key, **cosines)
        in_out = cosines["in_out"]
        named = "undefined" if in_out is None else _class_name(self.gated, **cosines)
        found = next(c for c in (*CLASSES, UNDEFINED) if c.name == named)
        self._add(tables.classes, **key, threshold=THRESHOLD, class_id=found.class_id)
        significant = None if in_out is None else int(abs(in_out) > REGION)
        words = {"class": named, "io_class": found.io_name, "significant_in_out": significant}
        return norms | cosines | words

    def _cosine(self) -> float:
        return round(self.draw.uniform(-1, 1), 2)

    def _vocabulary(self, neuron_id: int) -> Row:
        for vector_id in range(len(codes.VECTORS)):
            stats = {
                "mean": self.draw.gauss(0, 1),
                "variance": round(self.draw.random() / 100, 4),
                "skewness": self.draw.choice((-1.5, 0.0, 1.5)),
                "kurtosis": self.draw.choice((3.0, 10.0, 12.0)),
                "dot_variance": self.draw.choice((0.001, 0.005, 0.01)),
                "null_share": round(self.more.random(), 2) if vector_id == 2 else None,
            }
            self._add(tables.vocab_stat_rows, neuron_id=neuron_id, vector_id=vector_id, **stats)
        for code, *_ in codes.TOKEN_LISTS:
            chosen = self.draw.sample(range(len(self.vocabulary)), TOP)
            self.sample.top[neuron_id, code] = [self.vocabulary[t] for t in chosen]
            for rank, token_id in enumerate(chosen):
                where = {"neuron_id": neuron_id, "list_id": code, "rank": rank}
                cosine = round(0.9 - rank / 10, 1)
                self._add(tables.top_token_rows, **where, token_id=token_id, cosine=cosine)
        self._readings(neuron_id)
        head = self.draw.randrange(len(self.vocabulary))
        self.sample.head[neuron_id] = self.vocabulary[head]
        decoded = {"probability": 0.5, "normalised": 3.5}
        row = {"neuron_id": neuron_id, **decoded}
        self._add(tables.lm_head_tokens, side=1, token_id=head, **row)
        if self.gated:
            turned = (head + neuron_id % 7) % len(self.vocabulary)
            self.sample.head_turned[neuron_id] = self.vocabulary[turned]
            row["normalised"] += neuron_id % 2 - 0.5  # one side or the other is the stronger
            self._add(tables.lm_head_tokens, side=-1, token_id=turned, **row)
        return {  # the last drawn is that of out
            **{f"out_{name}": stats[name] for name in ("kurtosis", "skewness", "variance")},
            "null_share": stats["null_share"],
            "out_dot_variance": stats["dot_variance"],
            "role": _role(stats),
            "top_out_token": self.sample.top[neuron_id, codes.encode_token_list(2, 0, 0)][0],
        }

    def _decode(self, **row: Any) -> None:
        self._add(tables.lm_head_rows, normalised=100 * row["probability"], **row)

    def _readings(self, neuron_id: int) -> None:
        """What its vectors read and write: double checking, one token decoded, properties."""
        top = {code: set(self.sample.top[neuron_id, code]) for code, *_ in codes.TOKEN_LISTS}
        if self.gated:
            double = self.sample.double[neuron_id] = _double(top)
            self._add(tables.double_checking, neuron_id=neuron_id, **double)
        probability = self.sample.decoded[neuron_id] = self.more.random()
        token = {"neuron_id": neuron_id, "token_id": self.vocabulary.index(DECODED)}
        self._decode(side=1, probability=probability, **token)
        if self.gated:
            turned = self.sample.decoded_turned[neuron_id] = (probability * 997) % 1
            self._decode(side=-1, probability=turned, **token)
        for property_id, name in enumerate(PROPERTIES, 1):
            means = {"inside_mean": self.more.gauss(0, 1), "outside_mean": self.more.gauss(0, 1)}
            effect = (means["inside_mean"] - means["outside_mean"]) / 0.5
            row = {"neuron_id": neuron_id, "effect": effect, **means}
            self._add(tables.property_effects, property_id=property_id, **row)
            self.sample.effects.append(row | {"property": name})

    def _activations(self, neuron_id: int) -> Row:
        stats: Row = {"freq": self._share() if self.gated else None}
        for quantity in ("pre", "post"):
            for moment in ("mean", "variance", "skewness", "kurtosis"):
                stats[f"{quantity}_{moment}"] = round(self.draw.gauss(0, 2), 3)
        stats["post_positive"] = self._share()
        key = {"neuron_id": neuron_id, "dataset_id": DATASET}
        n_nonfinite = 0 if neuron_id % WIDTH else NONFINITE
        self._add(tables.activation_stats, **key, n_tokens=1000, n_nonfinite=n_nonfinite, **stats)
        self._summaries(key)
        cases = codes.GATED_CASES if self.gated else codes.UNGATED_CASES
        freqs = {code: self._case(key, code) for code in cases}
        signs = ("pos_in_pos", "pos_in_neg", "neg_in_pos", "neg_in_neg")
        return stats | {f"gate_{sign}": freqs.get(code) for code, sign in enumerate(signs)}

    def _case(self, key: Row, code: int) -> float:
        freq = self._share()
        statistics: Row = {
            f"{quantity}_{statistic}": round(self.draw.gauss(0, 2), 3) if freq else None
            for quantity in codes.QUANTITY_COLUMNS
            for statistic in ("mean", "min", "max")
        }
        case = key | {"sign_case_id": code, "count": round(freq * 1000), "freq": freq}
        self.sample.cases.append(self._add(tables.sign_case_rows, **case, **statistics))
        if key["neuron_id"] % WIDTH < 2:
            for quantity in range(3):
                self._examples(key, codes.encode_example_list(code, quantity))
        return freq

    def _examples(self, key: Row, list_id: int) -> None:
        values = sorted((self.draw.gauss(0, 5) for _ in range(3)), key=abs, reverse=True)
        for rank, value in enumerate(values):
            text_id = self.draw.randrange(len(TEXTS)) + 1
            self.sample.examples.append(
                self._add(
                    tables.example_rows,
                    **(key | {"list_id": list_id, "rank": rank, "text_id": text_id}),
                    position=self.draw.randrange(9),
                    value=value,
                )
            )

    def _summaries(self, key: Row) -> None:
        """Histograms and labels of every neuron; controls and traces of each layer's first."""
        for quantity in (0, 1, 2) if self.gated else (0, 2):
            counts = [self.more.choice((0, 3, 200)) if 20 <= i < 45 else 0 for i in range(BINS)]
            packed = b"".join(leb128(count) for count in counts)
            self._add(tables.activation_histograms, **key, quantity_id=quantity, counts=packed)
        for label in range(1, len(LABELS) + 1):
            shares: Row = {"post_positive": self.more.random()}
            shares["freq"] = self.more.random() if self.gated else None
            moments = {
                f"{quantity}_{moment}": self.more.random()
                for quantity in ("pre", "post")
                for moment in ("mean", "variance")
            }
            row = key | {"label_id": label, "n_tokens": 500} | shares | moments
            self.sample.labels.append(self._add(tables.label_stats, **row))
        if key["neuron_id"] % WIDTH == 0:
            self._controls(key)
            self._traces(key)

    def _controls(self, key: Row) -> None:
        for kind in range(len(codes.CONTROL_KINDS)):
            for rank in range(2):
                self._add(
                    tables.control_example_rows,
                    **(key | {"kind_id": kind, "rank": rank}),
                    text_id=self.more.randrange(len(TEXTS)) + 1,
                    position=self.more.randrange(9),
                    value=self.more.gauss(0, 1),
                )

    def _traces(self, key: Row) -> None:
        quantities = 3 if self.gated else 2
        for text_id in range(1, len(TEXTS) + 1):
            for position in range(9):
                start, end = max(0, position - 6), min(TEXT_TOKENS, position + 4)
                values = [self.more.gauss(0, 3) for _ in range(quantities * (end - start))]
                self._add(
                    tables.trace_rows,
                    **(key | {"text_id": text_id, "position": position}),
                    start=start,
                    n_tokens=end - start,
                    trace=struct.pack(f"<{len(values)}e", *values),
                )


def leb128(count: int) -> bytes:
    """Return a count as it is stored: seven bits a byte, the eighth set where more follow."""
    return (
        bytes((count & 127,)) if count < 128 else bytes((count & 127 | 128,)) + leb128(count >> 7)
    )
