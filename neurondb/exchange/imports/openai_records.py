"""OpenAI's neuron records and explanations (`automated-interpretability`), a file a neuron.

`neurons/{layer}/{neuron}.json` is a `NeuronRecord` of `activations.py`: `neuron_id` with
`layer_index` and `neuron_index`, moments of the activation (`mean`, `variance`, `skewness`,
`kurtosis`), `most_positive_activation_records` and `random_sample`, each of `tokens` and
`activations`. `explanations/{layer}/{neuron}.jsonl` is a `NeuronSimulationResults` of
`explanations.py`: `scored_explanations`, each an `explanation` with its `scored_simulation`. Both
are dataclasses as JSON, whose `dataclass_name` does not matter here.

The activation is GPT-2's after its nonlinearity, hook_post; samples by quantile and the simulated
activations have no place.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from neurondb.errors import TextError
from neurondb.exchange.imports.facts import (
    Facts,
    Reader,
    Remark,
    TextExample,
    read_number,
    read_real,
)
from neurondb.exchange.imports.files import list_files, read_json

FORM: Final = "openai"
ENDINGS: Final = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
_MOMENTS: Final = ("mean", "variance", "skewness", "kurtosis")
_SCORES: Final = ("ev_correlation_score", "rsquared_score", "absolute_dev_explained_score")
_BY_QUANTILE: Final = "random_sample_by_quantile"


def find_files(path: Path) -> list[Path]:
    """Return the files of a folder of records and explanations, or the one file."""
    return list_files(path, *ENDINGS)


def make_reader(files: list[Path], source: str) -> Reader:
    """Return the reader of some files; explanations say that they come from `source`."""

    def read(count: Callable[[str, int], None]) -> Iterator[Facts]:
        for file in files:
            for place, value in read_json(file):
                for one in value if isinstance(value, list) else [value]:
                    yield _make_facts(one, place, source, count)

    return read


def _make_facts(one: Any, place: str, source: str, count: Callable[[str, int], None]) -> Facts:
    layer, neuron = _read_id(one, place)
    remarks = [
        remark for said in one.get("scored_explanations") or [] for remark in _explain(said, source)
    ]
    statistics = {
        f"post_{name}": number
        for name in _MOMENTS
        if (number := read_real(one.get(name))) is not None
    }
    if one.get(_BY_QUANTILE):
        count(_BY_QUANTILE, len(one[_BY_QUANTILE]))
    return Facts(
        place,
        layer,
        neuron,
        remarks,
        statistics=statistics,
        examples=_read_examples(one, "most_positive_activation_records", place),
        controls=_read_examples(one, "random_sample", place),
    )


def _read_id(one: Any, place: str) -> tuple[int, int]:
    said = one.get("neuron_id") if isinstance(one, Mapping) else None
    if isinstance(said, Mapping):
        said = [said.get("layer_index"), said.get("neuron_index")]
    if isinstance(said, list) and len(said) == 2:
        layer, neuron = map(read_number, said)
        if layer is not None and neuron is not None:
            return layer, neuron
    raise TextError(
        f"{place} is no NeuronRecord and no NeuronSimulationResults: it has no neuron_id with "
        "layer_index and neuron_index"
    )


def _read_examples(one: Mapping[str, Any], name: str, place: str) -> list[TextExample] | None:
    if name not in one:
        return None
    examples = []
    for record in one[name] or []:
        tokens, values = record.get("tokens"), record.get("activations")
        if not isinstance(tokens, list) or not isinstance(values, list):
            raise TextError(f"{place}: {name} has no lists of tokens and activations")
        numbers = [number if (number := read_real(value)) is not None else 0.0 for value in values]
        if numbers:
            at = max(range(len(numbers)), key=lambda i: numbers[i])
            examples.append(TextExample("".join(map(str, tokens)), at, numbers[at]))
    return examples


def _explain(said: Mapping[str, Any], source: str) -> Iterator[Remark]:
    yield Remark(source, "explanation", str(said.get("explanation") or ""))
    simulation = said.get("scored_simulation") or {}
    for name in _SCORES:
        if (score := read_real(simulation.get(name))) is not None:
            yield Remark(source, name.removesuffix("_score"), f"{score:g}")
