"""What the sample database holds of a neuron on the texts: cases, examples and summaries."""

import struct

from neurondb.schema import codes, tables
from tests.support.leb128 import leb128
from tests.support.sample_drawing import ModelDrawing
from tests.support.sample_facts import (
    BINS,
    DATASET,
    LABELS,
    NONFINITE,
    TEXT_TOKENS,
    TEXTS,
    WIDTH,
    Row,
)


def draw_activations(model: ModelDrawing, neuron_id: int) -> Row:
    """Add the rows of a neuron on the texts; return its columns of the overview."""
    stats: Row = {"freq": model.share() if model.gated else None}
    for quantity in ("pre", "post"):
        for moment in ("mean", "variance", "skewness", "kurtosis"):
            stats[f"{quantity}_{moment}"] = round(model.draw.gauss(0, 2), 3)
    stats["post_positive"] = model.share()
    key = {"neuron_id": neuron_id, "dataset_id": DATASET}
    n_nonfinite = 0 if neuron_id % WIDTH else NONFINITE
    model.add(tables.activation_stats, **key, n_tokens=1000, n_nonfinite=n_nonfinite, **stats)
    _summaries(model, key)
    cases = codes.GATED_CASES if model.gated else codes.UNGATED_CASES
    freqs = {code: _case(model, key, code) for code in cases}
    signs = ("pos_in_pos", "pos_in_neg", "neg_in_pos", "neg_in_neg")
    return stats | {f"gate_{sign}": freqs.get(code) for code, sign in enumerate(signs)}


def _case(model: ModelDrawing, key: Row, code: int) -> float:
    freq = model.share()
    statistics: Row = {
        f"{quantity}_{statistic}": round(model.draw.gauss(0, 2), 3) if freq else None
        for quantity in codes.QUANTITY_COLUMNS
        for statistic in ("mean", "min", "max")
    }
    case = key | {"sign_case_id": code, "count": round(freq * 1000), "freq": freq}
    model.sample.cases.append(model.add(tables.sign_case_rows, **case, **statistics))
    if key["neuron_id"] % WIDTH < 2:
        for quantity in range(3):
            _examples(model, key, codes.encode_example_list(code, quantity))
    return freq


def _examples(model: ModelDrawing, key: Row, list_id: int) -> None:
    values = sorted((model.draw.gauss(0, 5) for _ in range(3)), key=abs, reverse=True)
    for rank, value in enumerate(values):
        text_id = model.draw.randrange(len(TEXTS)) + 1
        row = model.add(
            tables.example_rows,
            **(key | {"list_id": list_id, "rank": rank, "text_id": text_id}),
            position=model.draw.randrange(9),
            scaled_value=value * 2**28,
        )
        model.sample.examples.append(row | {"value": value})


def _summaries(model: ModelDrawing, key: Row) -> None:
    """Histograms and labels of every neuron; controls and traces of each layer's first."""
    for quantity in (0, 1, 2) if model.gated else (0, 2):
        counts = [model.more.choice((0, 3, 200)) if 20 <= i < 45 else 0 for i in range(BINS)]
        packed = b"".join(leb128(count) for count in counts)
        model.add(tables.activation_histograms, **key, quantity_id=quantity, counts=packed)
    for label in range(1, len(LABELS) + 1):
        shares: Row = {"post_positive": model.more.random()}
        shares["freq"] = model.more.random() if model.gated else None
        moments = {
            f"{quantity}_{moment}": model.more.random()
            for quantity in ("pre", "post")
            for moment in ("mean", "variance")
        }
        row = key | {"label_id": label, "n_tokens": 500} | shares | moments
        model.sample.labels.append(model.add(tables.label_stats, **row))
    if key["neuron_id"] % WIDTH == 0:
        _controls(model, key)
        _traces(model, key)
        _token_statistics(model, key)


def _controls(model: ModelDrawing, key: Row) -> None:
    for kind in range(len(codes.CONTROL_KINDS)):
        for rank in range(2):
            model.add(
                tables.control_example_rows,
                **(key | {"kind_id": kind, "rank": rank}),
                text_id=model.more.randrange(len(TEXTS)) + 1,
                position=model.more.randrange(9),
                value=model.more.gauss(0, 1),
            )


def _token_statistics(model: ModelDrawing, key: Row) -> None:
    """Three tokens a place, with numbers that follow from place and rank."""
    for place in range(len(codes.TOKEN_STAT_PLACES)):
        for rank in range(3):
            row = key | {"place_id": place, "rank": rank, "token_id": 2 + place + rank}
            mean = (0.75 - rank / 8 - place / 64) * (-1) ** rank
            model.sample.token_stats.append(
                model.add(tables.token_stat_rows, **row, mean=mean, freq=rank / 4, n=100 + rank)
            )


def _traces(model: ModelDrawing, key: Row) -> None:
    quantities = 3 if model.gated else 2
    for text_id in range(1, len(TEXTS) + 1):
        for position in range(9):
            start, end = max(0, position - 6), min(TEXT_TOKENS, position + 4)
            values = [model.more.gauss(0, 3) for _ in range(quantities * (end - start))]
            model.add(
                tables.trace_rows,
                **(key | {"text_id": text_id, "position": position}),
                start=start,
                n_tokens=end - start,
                trace=struct.pack(f"<{len(values)}e", *values),
            )
