"""The files of a page of GLUScope's website, which is about one neuron: read, and nothing stored.

A page is a folder, `{model}/L{layer}/N{neuron}` on the site (gluscope.github.io), as
`c_neuron_vis.py` of sjgerstner/gluscope writes it: `vis.html` with a table of the four sign cases,
and `{case}_{quantity}_example_{i}.json` with `tokens`, `values[position][column]` and `labels`, the
columns' names. The first column is the quantity in the case, zero elsewhere; texts end two tokens
after the peak. A `stats.json` with the table's numbers is read in place of `vis.html`.

Colours need a sign: where no value of a column is positive, the page has −1e-7 for 0. It is read as
0 here.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from neurondb.errors import TextError
from neurondb.exchange.imports.facts import read_real
from neurondb.exchange.imports.files import read_json
from neurondb.exchange.imports.gluscope.columns import CASES
from neurondb.neurons import NeuronPlace, match_neuron
from neurondb.schema.codes import QUANTITIES
from neurondb.spelling import option
from neurondb.text_decoding import format_path, read_text

ZERO: Final = float(np.float32(-1e-7))
"""What stands for 0 where no value of a column is positive."""
_EXAMPLE: Final = re.compile(
    rf"(?P<case>{'|'.join(map(re.escape, CASES))})_(?P<quantity>{'|'.join(QUANTITIES)})"
    r"_example_(?P<rank>[0-9]{1,3})\.json"
)
_FOLDERS: Final = re.compile(r"L([0-9]{1,4})[/\\]N([0-9]{1,7})$")
_CELL: Final = re.compile(r"<td>(.*?)</td>", re.DOTALL)
_NUMBER: Final = re.compile(r"<b>\s*(-?[0-9.]+|-?nan|-?inf)\s*%?\s*</b>")
_HTML, _STATS = "vis.html", "stats.json"


@dataclass(frozen=True)
class CaseNumbers:
    """The table's numbers of one sign case, to two decimals; NaN where it has none."""

    freq: float
    mean: Mapping[int, float]
    end: Mapping[int, float]


@dataclass(frozen=True)
class PageExample:
    """One example of a list.

    Attributes:
        case: code of the sign case.
        quantity: code of the quantity.
        rank: place in the list.
        tokens: of the text, from its beginning.
        peak: position of the largest |value| of the quantity in the case.
        value: the quantity there.
        values: quantity → its value at each token, in or out of the case.
    """

    case: int
    quantity: int
    rank: int
    tokens: tuple[str, ...]
    peak: int
    value: float
    values: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class PageFolder:
    """A folder with the page of a neuron."""

    folder: Path
    place: NeuronPlace

    def files(self) -> list[Path]:
        """Return the files of the page."""
        names = (_HTML, _STATS)
        return sorted(file for file in self.folder.iterdir() if file.name in names or _match(file))

    def read_cases(self) -> dict[int, CaseNumbers]:
        """Return code → numbers of each sign case; nothing where the page has no table.

        Raises:
            TextError: when the table cannot be read.
        """
        if (self.folder / _STATS).exists():
            return _read_stats(self.folder / _STATS, self.place)
        if (self.folder / _HTML).exists():
            return _read_table(self.folder / _HTML)
        return {}

    def read_examples(self) -> Iterator[PageExample]:
        """Yield the examples, list by list.

        Raises:
            TextError: when a file is not of this layout.
        """
        for file in self.files():
            if named := _match(file):
                case, quantity = CASES.index(named["case"]), QUANTITIES.index(named["quantity"])
                example = _read_example(file, case, quantity, int(named["rank"]))
                if example.value:
                    yield example


def find_pages(path: Path, neuron: str | None) -> list[PageFolder]:
    """Return the pages in a folder and the folders in it.

    Args:
        path: a page's folder, or one with pages in it.
        neuron: the neuron of the page, where its folder does not say.

    Raises:
        TextError: when there is no page, or it is not known of which neuron one is.
    """
    if not path.is_dir():
        raise TextError(f"{format_path(path)}: no such folder")
    folders = [path, *sorted(one for one in path.rglob("*") if one.is_dir())]
    pages = [one for one in folders if any(_match(file) for file in one.iterdir())]
    if not pages:
        raise TextError(
            f"{format_path(path)} has no page of GLUScope: no file like "
            "gate+_in+_hook_post_example_0.json"
        )
    if neuron is not None and len(pages) > 1:
        raise TextError(f"{format_path(path)} has {len(pages)} pages; {option('neuron')} is of one")
    return [PageFolder(page, _find_place(page, neuron)) for page in pages]


def _match(file: Path) -> re.Match[str] | None:
    return _EXAMPLE.fullmatch(file.name)


def _find_place(page: Path, neuron: str | None) -> NeuronPlace:
    place = None if neuron is None else match_neuron(neuron)
    if place is None and (said := _FOLDERS.search(str(page.resolve()))):
        place = NeuronPlace(int(said[1]), int(said[2]))
    if place is None and (page / _STATS).exists():
        neurons = _read_object(page / _STATS).get("neurons")
        names = list(neurons) if isinstance(neurons, dict) else []
        place = match_neuron(names[0]) if len(names) == 1 else None
    if place is None:
        raise TextError(
            f"{format_path(page)} does not say which neuron it is of; give "
            f"{option('neuron', 'L.N')}"
        )
    return place


def _read_object(file: Path) -> dict[str, Any]:
    _, value = next(read_json(file))
    if not isinstance(value, dict):
        raise TextError(f"{format_path(file)} is no JSON object")
    return value


def _read_example(file: Path, case: int, quantity: int, rank: int) -> PageExample:
    content, name = _read_object(file), format_path(file)
    tokens, labels = content.get("tokens"), content.get("labels")
    try:
        values = np.array(content.get("values"), np.float64)
        well_formed = values.shape == (len(tokens), len(labels))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        well_formed = False
    if not well_formed or not values.size:
        raise TextError(f"{name} has no values for each of its tokens and labels")
    assert tokens is not None
    assert labels is not None
    values[values == ZERO] = 0.0
    peak = int(np.abs(values[:, 0]).argmax())
    columns = {str(label): values[:, i] for i, label in enumerate(labels)}
    return PageExample(
        case, quantity, rank, tuple(map(str, tokens)), peak, float(values[peak, 0]), columns
    )


def _read_stats(file: Path, place: NeuronPlace) -> dict[int, CaseNumbers]:
    content = _read_object(file)
    neurons = content.get("neurons")
    numbers = neurons.get(place.name) if isinstance(neurons, dict) else content
    if not isinstance(numbers, dict) or not isinstance(numbers.get("freq_pct"), dict):
        raise TextError(f"{format_path(file)} has no frequencies of {place.name}")
    cases = {}
    for code, case in enumerate(CASES):
        said = {q: (numbers.get(name) or {}).get(case) or {} for q, name in enumerate(QUANTITIES)}
        cases[code] = CaseNumbers(
            _to_real(numbers["freq_pct"].get(case)) / 100,
            {quantity: _to_real(one.get("avg")) for quantity, one in said.items()},
            {quantity: _find_end(one.get("max"), one.get("min")) for quantity, one in said.items()},
        )
    return cases


def _read_table(file: Path) -> dict[int, CaseNumbers]:
    """Read the rows of the page's table: frequencies, then a row a quantity, four cells each."""
    cells = [
        [float(number) for number in _NUMBER.findall(cell)]
        for cell in _CELL.findall(read_text(file).split("</table>", 1)[0])
    ]
    cells = [numbers for numbers in cells if numbers]
    n = len(CASES)
    if len(cells) != n * (1 + len(QUANTITIES)) or any(len(one) != 3 for one in cells[n:]):
        raise TextError(f"{format_path(file)} has no table of GLUScope's four sign cases")
    return {
        code: CaseNumbers(
            cells[code][0] / 100,
            {q: cells[n * (1 + q) + code][2] for q in range(len(QUANTITIES))},
            {q: _find_end(*cells[n * (1 + q) + code][:2]) for q in range(len(QUANTITIES))},
        )
        for code in range(n)
    }


def _find_end(largest: Any, smallest: Any) -> float:
    """Return the end that is away from zero; the page writes 0 for the other."""
    high, low = _to_real(largest), _to_real(smallest)
    return max((high, low), key=lambda value: 0.0 if value != value else abs(value))


def _to_real(value: Any) -> float:
    number = read_real(value)
    return float("nan") if number is None else number
