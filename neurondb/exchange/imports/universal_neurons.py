"""The tables of universal-neurons: a row a neuron, as `analysis/neuron_df.py` makes them.

The CSVs of wesg52/universal-neurons (`dataframes/`), and frames of that module written to CSV or
Parquet, have `layer` and `neuron` and some of these (Gurnee et al. 2024, §4.1–4.2, App. B):

- `w_in_norm`, `w_out_norm`, `input_bias`, `l2_penalty`, `in_out_sim`: weights after the paper's
  preprocessing, which is ours (METHODS §1);
- `vocab_mean`, `vocab_var`, `vocab_skew`, `vocab_kurt`: moments of cos(U, out) (METHODS §4);
- `mean`, `var`, `skew`, `kurt`: moments of hook_pre over the Pile; `sparsity`: the share of tokens
  where it is positive (METHODS §5);
- `max_corr`, `mean_corr`, `excess_corr`, `feature` and whatever else there is: annotations.

Its models have no gates. Their names are TransformerLens's, such as stanford-gpt2-small-a.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from neurondb.errors import TextError
from neurondb.exchange.imports.facts import Facts, Reader, Remark, read_place, read_real
from neurondb.exchange.imports.files import list_files, read_rows
from neurondb.exchange.imports.table import PLACE_COLUMNS, format_value

FORM: Final = "universal-neurons"
ENDINGS: Final = (".csv", ".csv.gz", ".parquet")
_WEIGHTS: Final = {
    "w_in_norm": "in_norm",
    "input_weight_norm": "in_norm",
    "w_out_norm": "out_norm",
    "output_weight_norm": "out_norm",
    "input_bias": "in_bias",
    "l2_penalty": "penalty",
}
_COSINES: Final = {"in_out_sim": "in_out"}
_VOCABULARY: Final = {
    "vocab_mean": "mean",
    "vocab_var": "variance",
    "vocab_skew": "skewness",
    "vocab_kurt": "kurtosis",
}
_STATISTICS: Final = {
    "mean": "pre_mean",
    "var": "pre_variance",
    "skew": "pre_skewness",
    "kurt": "pre_kurtosis",
}
_SPARSITY: Final = "sparsity"
_NEURON_NAMES: Final = ("neuron", "neuron_ix")
_PLACED: Final = frozenset(
    (*PLACE_COLUMNS, *_NEURON_NAMES, _SPARSITY, *_WEIGHTS, *_COSINES, *_VOCABULARY, *_STATISTICS)
)


def find_tables(path: Path) -> list[Path]:
    """Return the tables of a file or a folder."""
    return list_files(path, *ENDINGS)


def make_reader(files: list[Path], source: str) -> Reader:
    """Return the reader of some tables; annotations say that they come from `source`."""

    def read(_count: Callable[[str, int], None]) -> Iterator[Facts]:
        for file in files:
            for row in read_rows(file):
                values = dict(row.values)
                if "neuron" not in values and "neuron_ix" in values:
                    values["neuron"] = values["neuron_ix"]
                if "neuron" not in values or "layer" not in values:
                    raise TextError(
                        f"{row.place}: no columns 'layer' and 'neuron'; its columns are "
                        f"{', '.join(map(repr, row.values))}"
                    )
                yield _make_facts(row.place, values, source)

    return read


def _make_facts(place: str, values: Mapping[str, Any], source: str) -> Facts:
    layer, neuron = read_place(values, place)
    sparsity = read_real(values.get(_SPARSITY))
    statistics = _pick(values, _STATISTICS)
    if sparsity is not None:
        statistics["post_positive"] = sparsity
    remarks = [
        Remark(source, name, format_value(value))
        for name, value in values.items()
        if name and name not in _PLACED
    ]
    return Facts(
        place,
        layer,
        neuron,
        remarks,
        statistics=statistics,
        weights=_pick(values, _WEIGHTS),
        cosines=_pick(values, _COSINES),
        vocabulary=_pick(values, _VOCABULARY),
        positive=sparsity,
    )


def _pick(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, float]:
    found = ((ours, read_real(values.get(theirs))) for theirs, ours in names.items())
    return {ours: number for ours, number in found if number is not None}
