"""What the sample database holds of a neuron: its weights, its vocabulary and its removal."""

from typing import Any

from neurondb.schema import codes, tables
from neurondb.taxonomy import CLASSES, UNDEFINED
from tests.support.sample_activations import draw_activations
from tests.support.sample_descriptions import get_description
from tests.support.sample_drawing import ModelDrawing
from tests.support.sample_facts import (
    ATTRIBUTION_RUN,
    DECODED,
    EACH_RUN,
    METRICS,
    PROPERTIES,
    REGION,
    THRESHOLD,
    TOP,
    WIDTH,
    Row,
)


def draw_neuron(model: ModelDrawing, i: int) -> None:
    """Add the rows of the i-th neuron of a model, and remember it in the sample."""
    neuron_id, (layer, number) = model.first + i, divmod(i, WIDTH)
    overview: Row = {"model": model.name, "layer": layer, "neuron": number}
    overview |= {"name": f"{layer}.{number}", "neuron_id": neuron_id}
    overview |= _weights(model, neuron_id, layer, number)
    overview |= _vocabulary(model, neuron_id) | draw_activations(model, neuron_id)
    overview |= _removal(model, neuron_id) | {"description": get_description(neuron_id)}
    overview |= {"expert": None, "expert_neuron": None, "routed_share": None}
    model.sample.neurons.append(overview)


def _weights(model: ModelDrawing, neuron_id: int, layer: int, number: int) -> Row:
    norms = {
        "gate_norm": round(model.draw.uniform(0, 3), 2) if model.gated else None,
        "in_norm": round(model.draw.uniform(0, 3), 2),
        "out_norm": round(model.draw.uniform(0, 3), 2),
        "in_bias": None if model.gated else ((neuron_id * 53) % 97 - 48) / 50,
        "penalty": round(model.draw.uniform(0, 9), 2),
        "sign": model.draw.choice((1, -1)),
    }
    key = {"neuron_id": neuron_id}
    place = {"model_id": model.model_id, "layer": layer, "neuron": number}
    model.add(tables.neurons, **key, **place, **norms)
    zero_vector = number == WIDTH - 1
    cosines: Row = {
        pair: None if zero_vector or not (model.gated or pair == "in_out") else model.cosine()
        for pair in ("gate_in", "gate_out", "in_out")
    }
    model.add(tables.cosines, **key, **cosines)
    in_out = cosines["in_out"]
    named = "undefined" if in_out is None else _class_name(model.gated, **cosines)
    found = next(c for c in (*CLASSES, UNDEFINED) if c.name == named)
    model.add(tables.classes, **key, threshold=THRESHOLD, class_id=found.class_id)
    significant = None if in_out is None else int(abs(in_out) > REGION)
    words = {"class": named, "io_class": found.io_name, "significant_in_out": significant}
    return norms | cosines | words


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


def _removal(model: ModelDrawing, neuron_id: int) -> Row:
    """What removing it does, of two thirds of the neurons; of all of them an estimate."""
    found: Row = {f"ablated_{metric}": None for metric in METRICS}
    for metric in METRICS if neuron_id % 3 else ():
        mean = found[f"ablated_{metric}"] = round(model.effect.gauss(0, 1), 3)
        row = {"run_id": EACH_RUN + model.model_id, "neuron_id": neuron_id, "n": 60}
        model.add(tables.neuron_effects, **row, metric=metric, mean=mean, std=0.5, changed=0.9)
    for metric in METRICS[:2]:
        mean = found[f"attribution_{metric}"] = round(model.effect.gauss(0, 1), 3)
        row = {"run_id": ATTRIBUTION_RUN + model.model_id, "neuron_id": neuron_id}
        model.add(tables.neuron_attributions, **row, metric=metric, mean=mean)
    return found


def _vocabulary(model: ModelDrawing, neuron_id: int) -> Row:
    for vector_id in range(len(codes.VECTORS)):
        stats = {
            "mean": model.draw.gauss(0, 1),
            "variance": round(model.draw.random() / 100, 4),
            "skewness": model.draw.choice((-1.5, 0.0, 1.5)),
            "kurtosis": model.draw.choice((3.0, 10.0, 12.0)),
            "dot_variance": model.draw.choice((0.001, 0.005, 0.01)),
            "null_share": round(model.more.random(), 2) if vector_id == 2 else None,
        }
        model.add(tables.vocab_stat_rows, neuron_id=neuron_id, vector_id=vector_id, **stats)
    for code, *_ in codes.TOKEN_LISTS:
        chosen = model.draw.sample(range(len(model.vocabulary)), TOP)
        model.sample.top[neuron_id, code] = [model.vocabulary[t] for t in chosen]
        for rank, token_id in enumerate(chosen):
            where = {"neuron_id": neuron_id, "list_id": code, "rank": rank}
            cosine = round(0.9 - rank / 10, 1)
            model.add(
                tables.top_token_rows, **where, token_id=token_id, scaled_cosine=cosine * 2**31
            )
    _readings(model, neuron_id)
    head = model.draw.randrange(len(model.vocabulary))
    model.sample.head[neuron_id] = model.vocabulary[head]
    decoded = {"probability": 0.1 + neuron_id * 29 % 83 / 100, "normalised": 3.5}
    row = {"neuron_id": neuron_id, **decoded}
    model.add(tables.lm_head_tokens, side=1, token_id=head, **row)
    if model.gated:
        turned = (head + neuron_id % 7) % len(model.vocabulary)
        model.sample.head_turned[neuron_id] = model.vocabulary[turned]
        row["normalised"] += neuron_id % 2 - 0.5  # one side or the other is the stronger
        row["probability"] = 0.1 + neuron_id * 31 % 79 / 100
        model.add(tables.lm_head_tokens, side=-1, token_id=turned, **row)
    if _role(stats) is not None:
        _draw_logit_effects(model, neuron_id)
    return {  # the last drawn is that of out
        **{f"out_{name}": stats[name] for name in ("kurtosis", "skewness", "variance")},
        "null_share": stats["null_share"],
        "jaccard": model.sample.double[neuron_id]["jaccard"] if model.gated else None,
        "lm_head_probability": max(decoded["probability"], row["probability"]),
        "out_dot_variance": stats["dot_variance"],
        "role": _role(stats),
        "top_out_token": model.sample.top[neuron_id, codes.encode_token_list(2, 0, 0)][0],
    }


def _role(out: Row) -> str | None:
    if out["kurtosis"] > 10 and out["skewness"] > 0:
        return "prediction"
    if out["kurtosis"] > 10 and out["skewness"] < 0:
        return "suppression"
    return "partition" if out["variance"] > 0.005 else None


def _readings(model: ModelDrawing, neuron_id: int) -> None:
    """What its vectors read and write: double checking, one token decoded, properties."""
    top = {code: set(model.sample.top[neuron_id, code]) for code, *_ in codes.TOKEN_LISTS}
    if model.gated:
        double = model.sample.double[neuron_id] = _double(top)
        model.add(tables.double_checking, neuron_id=neuron_id, **double)
    probability = model.sample.decoded[neuron_id] = model.more.random()
    token = {"neuron_id": neuron_id, "token_id": model.vocabulary.index(DECODED)}
    _decode(model, side=1, probability=probability, **token)
    if model.gated:
        turned = model.sample.decoded_turned[neuron_id] = (probability * 997) % 1
        _decode(model, side=-1, probability=turned, **token)
    for property_id, name in enumerate(PROPERTIES, 1):
        means = {"inside_mean": model.more.gauss(0, 1), "outside_mean": model.more.gauss(0, 1)}
        effect = (means["inside_mean"] - means["outside_mean"]) / 0.5
        row = {"neuron_id": neuron_id, "effect": effect, **means}
        model.add(tables.property_effects, property_id=property_id, **row)
        model.sample.effects.append(row | {"property": name})


def _draw_logit_effects(model: ModelDrawing, neuron_id: int) -> None:
    """Histograms of all tokens in three bins, split by each property; between two is a gap."""
    few, n_tokens = neuron_id % 4, len(model.vocabulary)
    n_spaces = sum(map(PROPERTIES["starts with space"], model.vocabulary))
    for low, high, n, *inside in (
        (-0.1, 0.0, n_tokens - 8 - few, 1, 9),
        (0.0, 0.1, 5 + few, 2, 3),
        (0.4, 0.5, 3, n_spaces - 3, 3),
    ):
        for property_id, n_inside in enumerate(inside, 1):
            row = {"neuron_id": neuron_id, "property_id": property_id, "low": low, "high": high}
            row |= {"n": n, "n_inside": n_inside}
            model.sample.logit_effects.append(model.add(tables.logit_effect_rows, **row))


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


def _decode(model: ModelDrawing, **row: Any) -> None:
    model.add(tables.lm_head_rows, normalised=100 * row["probability"], **row)
