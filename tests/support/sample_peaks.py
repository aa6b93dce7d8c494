"""The peak tokens of the sample database, counted one by one from its examples and token ids."""

import struct

from neurondb.schema import codes, tables
from tests.support.peaks_reference import Peak, count_one_by_one
from tests.support.sample_drawing import ModelDrawing
from tests.support.sample_facts import DATASET, TEXT_TOKENS, TEXTS

PEAK_COUNT = 1
_LISTS = {(case, place): code for code, case, place in codes.PEAK_LISTS}
_POST = {codes.encode_example_list(code, 0): case for code, case in enumerate(codes.SIGN_CASES)}


def draw_peaks(model: ModelDrawing) -> None:
    """Add the rows of a model's examples; the model without token ids reads its own here."""
    texts = {
        row["text_id"]: list(struct.unpack(f"<{TEXT_TOKENS}I", row["token_ids"]))
        for row in model.rows.get(tables.text_token_ids, ())
    } or {
        text_id: [(5 * text_id + 3 * place) % len(model.vocabulary) for place in range(TEXT_TOKENS)]
        for text_id in range(1, len(TEXTS) + 1)
    }
    examples = [row for row in model.rows[tables.example_rows] if row["list_id"] in _POST]
    places = ("neuron_id", "list_id", "rank", "text_id", "position")
    peaks = [
        Peak(neuron, _POST[code], *rest)
        for neuron, code, *rest in ([row[place] for place in places] for row in examples)
    ]
    values = {(row["neuron_id"], _POST[row["list_id"]], row["rank"]): row["scaled_value"] / 2**28
              for row in examples}  # fmt: skip
    for one in sorted(count_one_by_one(peaks, texts, PEAK_COUNT)):
        case = one.neuron, one.sign_case
        key = {"neuron_id": one.neuron, "dataset_id": DATASET, "rank": one.rank}
        row = key | {"token_id": one.token_id, "count": one.n, "best_rank": one.best_rank}
        model.add(tables.peak_token_rows, **row, list_id=_LISTS[one.sign_case, one.place])
        more = {"token": model.vocabulary[one.token_id], "value": values[*case, one.best_rank]}
        size = sum(1 for other in values if other[:2] == case)
        words = {"model": model.name, "sign_case": one.sign_case, "place": one.place}
        model.sample.peaks.append(row | words | more | {"list_size": size})
