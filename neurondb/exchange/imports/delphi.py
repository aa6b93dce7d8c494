"""delphi's explanations and scores: a folder of a run, a file a latent.

EleutherAI's delphi saves `explanations/{hookpoint}_latent{N}.txt`, the explanation as a JSON text,
and for each scorer `scores/{scorer}/{hookpoint}_latent{N}.txt`, a JSON list of the examples that it
judged: `activating`, `prediction`, `probability`, `correct` (`__main__.py`,
`scorers/classifier`). Of these become annotations what its `result_analysis.py` computes of them:
accuracy over both classes, F1, and how many examples were judged. The surprisal and intervention
scorers save `final_score`.

The layer is the first number in the hookpoint: `layers.5.mlp.act` is of layer 5, and a latent there
is a neuron if the run explained an MLP's own neurons.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from neurondb.errors import TextError
from neurondb.exchange.imports.facts import Facts, Reader, Remark, read_real
from neurondb.exchange.imports.files import list_files, read_json
from neurondb.text_decoding import format_path

FORM: Final = "delphi"
EXPLANATIONS, SCORES = "explanations", "scores"
_NAME: Final = re.compile(
    r"(?P<hookpoint>.*?)_?(?:latent|feature)(?P<index>[0-9]{1,9})\.(?:txt|json)"
)
_LAYER: Final = re.compile(r"(?<![0-9])[0-9]{1,4}(?![0-9])")


def find_files(path: Path) -> list[Path]:
    """Return the explanations and scores of a run, explanations first.

    Raises:
        TextError: when the folder has none.
    """
    files = [
        file
        for file in list_files(path, ".txt", ".json")
        if _NAME.fullmatch(file.name) and {EXPLANATIONS, SCORES} & set(file.parts)
    ]
    if not files:
        raise TextError(
            f"{format_path(path)} is no folder of delphi: it has no "
            "explanations/HOOKPOINT_latentN.txt and no scores/SCORER/HOOKPOINT_latentN.txt"
        )
    return sorted(files, key=lambda file: SCORES in file.parts)


def make_reader(files: Sequence[Path], source: str) -> Reader:
    """Return the reader of some files; annotations say that they come from `source`."""

    def read(count: Callable[[str, int], None]) -> Iterator[Facts]:
        for file in files:
            place = format_path(file)
            layer, index = _read_place(file.name, place)
            content = next(value for _, value in read_json(file))
            if SCORES in file.parts:
                scorer = file.parts[file.parts.index(SCORES) + 1]
                remarks = list(_summarise(content, place, scorer, source))
            else:
                remarks = [Remark(source, "explanation", _read_explanation(content, place))]
            if not remarks:
                count("scores without a prediction", 1)
            yield Facts(place, layer, index, remarks)

    return read


def _read_place(name: str, place: str) -> tuple[int, int]:
    named = _NAME.fullmatch(name)
    layer = _LAYER.search(named["hookpoint"]) if named else None
    if named is None or layer is None:
        raise TextError(f"{place}: its name has no layer, as layers.5.mlp_latent12.txt has")
    return int(layer[0]), int(named["index"])


def _read_explanation(content: Any, place: str) -> str:
    if isinstance(content, dict):
        content = content.get("explanation")
    if not isinstance(content, str):
        raise TextError(f"{place} is no explanation of delphi, which is a JSON text")
    return content


def _summarise(content: Any, place: str, scorer: str, source: str) -> Iterator[Remark]:
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise TextError(f"{place} is no score of delphi, which is a JSON list of examples")
    judged = [one for one in content if one.get("prediction") is not None and "activating" in one]
    if judged:
        accuracy, f1 = measure_predictions(judged)
        note = f"over {len(judged):,} examples"
        if accuracy is not None:
            yield Remark(source, f"{scorer} accuracy", f"{accuracy:.4g}", note)
        if f1 is not None:
            yield Remark(source, f"{scorer} F1", f"{f1:.4g}", note)
    final = read_real(content[0].get("final_score")) if content else None
    if final is not None:
        yield Remark(source, f"{scorer} score", f"{final:.4g}")


def measure_predictions(judged: Sequence[dict[str, Any]]) -> tuple[float | None, float | None]:
    """Return the mean of both classes' accuracies, and F1; None where they have no value.

    Args:
        judged: examples with `activating`, and a `prediction` of it, a truth value or a share.
    """
    pairs = [(bool(one["activating"]), float(one["prediction"]) >= 0.5) for one in judged]
    true_positive = sum(real and said for real, said in pairs)
    false_positive = sum(said and not real for real, said in pairs)
    n_positive = sum(real for real, _ in pairs)
    n_negative = len(pairs) - n_positive
    accuracy = None
    if n_positive and n_negative:
        right = n_negative - false_positive
        accuracy = (true_positive / n_positive + right / n_negative) / 2
    n_all = n_positive + true_positive + false_positive
    return accuracy, (2 * true_positive / n_all if n_all else None)
