"""GLUScope's activation dataset: a row a neuron, in Parquet or Arrow files.

The layout is that of `summary_dict_to_hf_dataset.py` of sjgerstner/gluscope, as published for
OLMo-7B-0424 (352,256 rows): `layer`, `neuron`, and for each sign case `{case}_freq`,
`{case}_{quantity}_mean`, and lists of sixteen `{case}_{quantity}_max_values` and `…_max_indices`;
swish has lists in the cases of a negative gate only. Indices are numbers of texts, each in a list
at most once. It comes as Parquet from the hub, as Arrow streams from `save_to_disk`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from neurondb.errors import TextError
from neurondb.exchange.imports.gluscope.columns import (
    ALL_EXTREMES,
    CASES,
    LAYER,
    NEURON,
    find_missing,
    list_columns,
    name_frequency,
)
from neurondb.exchange.imports.gluscope.rows import Batch
from neurondb.exchange.imports.gluscope.storing import ActivationFile, Outline
from neurondb.exchange.imports.gluscope.summary_file import SummaryFile
from neurondb.exchange.imports.gluscope.token_count import Frequencies
from neurondb.exchange.imports.provenance import compute_digest
from neurondb.parquet_files import name_reason, read_batches
from neurondb.text_decoding import format_path

ROWS_A_BATCH: Final = 1024
"""Neurons in memory at a time: some 230 rows each are stored of them."""
_SUFFIXES: Final = (".parquet", ".arrow")
_TENSORS: Final = (".pt", ".pth")
_PICKLED_BARE: Final = ".pickle"


def open_activation_file(path: Path) -> ActivationFile:
    """Open a file, or a folder of files, of GLUScope's numbers: a dataset or the summary behind it.

    Args:
        path: Parquet or Arrow files, or a summary that torch saved.

    Raises:
        TextError: when it is none of them.
    """
    if path.suffix == _PICKLED_BARE:
        raise TextError(
            f"{format_path(path)}: unpickling would run whatever code is in it; "
            "save it again by torch.save and give that file"
        )
    return SummaryFile(path) if path.suffix in _TENSORS else ActivationDataset(path)


class ActivationDataset:
    """The files of an activation dataset, in the order of their names."""

    canonical = True

    def __init__(self, path: Path) -> None:
        """Look at the files' columns.

        Raises:
            TextError: when there is no such file, or its columns are not those of the layout.
        """
        self.name = format_path(path.name or path)
        self._files = _list_files(path)
        self._columns = self._read_columns()
        missing = find_missing(self._columns)
        if missing:
            raise TextError(
                f"{format_path(path)} is no activation dataset of GLUScope: it has no column "
                f"{missing[0]!r}; its columns are {', '.join(map(repr, self._columns[:8]))}"
            )

    def _read_columns(self) -> list[str]:
        schemas = [_read_schema(file) for file in self._files]
        for file, schema in zip(self._files, schemas, strict=True):
            if schema.names != schemas[0].names:
                raise TextError(
                    f"{format_path(file)} has other columns than {format_path(self._files[0])}"
                )
        return list(schemas[0].names)

    def outline(self) -> Outline:
        """Return which neurons there are, without reading the lists."""
        frequencies, layers, neurons = Frequencies(), [], []
        wanted = [name_frequency(case) for case in range(len(CASES))]
        for batch in self._read([LAYER, NEURON, *wanted]):
            layers.append(_read_places(batch, LAYER, self.name))
            neurons.append(_read_places(batch, NEURON, self.name))
            frequencies.add(_read_numbers(batch[name]) for name in wanted)
        n = sum(map(len, layers))
        unknown = [name for name in self._columns if name not in list_columns()]
        outline = Outline(
            np.concatenate([np.empty(0, np.int64), *layers]),
            np.concatenate([np.empty(0, np.int64), *neurons]),
            frequencies,
            Counter(dict.fromkeys(unknown, n)),
            compute_digest(self._files),
        )
        _refuse_twice(outline, self.name)
        return outline

    def batches(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], Batch]]:
        """Yield the neurons with all their columns."""
        lists = [one for one in ALL_EXTREMES if one.values in self._columns]
        of_lists = {name for one in lists for name in (one.values, one.indices)}
        known = [name for name in self._columns if name in list_columns()]
        numbers = [name for name in known if name not in {*of_lists, LAYER, NEURON}]
        nothing = np.empty(0, np.int64)
        for table in self._read(known):
            batch = Batch(
                nothing,
                {name: _read_numbers(table[name]) for name in numbers},
                {one.values: _read_lists(table[one.values], self.name) for one in lists},
                {
                    one.indices: np.nan_to_num(
                        _read_lists(table[one.indices], self.name), nan=-1
                    ).astype(np.int64)
                    for one in lists
                    if one.indices in self._columns
                },
            )
            yield (
                _read_places(table, LAYER, self.name),
                _read_places(table, NEURON, self.name),
                batch,
            )

    def _read(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        for file in self._files:
            try:
                if file.suffix == ".arrow":
                    yield from _read_arrow(file, columns)
                    continue
                with pq.ParquetFile(file) as parquet:
                    for batch in read_batches(parquet, ROWS_A_BATCH, columns):
                        yield pa.Table.from_batches([batch])
            except (OSError, pa.ArrowException) as error:
                raise _explain(file, error) from error


def _list_files(path: Path) -> list[Path]:
    if not path.exists():
        raise TextError(f"{format_path(path)}: no such file or folder")
    if path.is_file():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES)
    if not files:
        raise TextError(f"{format_path(path)} has no Parquet or Arrow file in it")
    return files


def _read_schema(file: Path) -> pa.Schema:
    try:
        if file.suffix == ".arrow":
            with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as stream:
                return stream.schema
        return pq.read_schema(file)
    except (OSError, pa.ArrowException) as error:
        raise _explain(file, error) from error


def _read_arrow(file: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as stream:
        for batch in stream:
            table = pa.Table.from_batches([batch]).select(list(columns))
            for start in range(0, table.num_rows, ROWS_A_BATCH):
                yield table.slice(start, ROWS_A_BATCH)


def _explain(file: Path, error: Exception) -> TextError:
    reason = name_reason(error)
    return TextError(f"{format_path(file)} cannot be read as Parquet or Arrow: {reason}")


def _read_places(table: pa.Table, name: str, file: str) -> NDArray[np.int64]:
    column = table[name]
    if not pa.types.is_integer(column.type) or column.null_count:
        raise TextError(f"{file}: column {name!r} is not all whole numbers")
    return np.asarray(column.cast(pa.int64()).to_numpy())


def _read_numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy())


def _read_lists(column: pa.ChunkedArray, file: str) -> NDArray[np.float64]:
    """Return lists as rows, short ones filled up with NaN."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if not (pa.types.is_list(array.type) or pa.types.is_large_list(array.type)):
        if not pa.types.is_fixed_size_list(array.type):
            raise TextError(f"{file}: a column of lists holds {array.type}")
        array = array.cast(pa.list_(array.type.value_type))
    lengths = np.asarray(
        pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    )
    flat = _read_numbers(pa.chunked_array([pc.list_flatten(array)]))
    width = int(lengths.max(initial=0))
    rows = np.full((len(array), width), np.nan)
    rows[np.arange(width) < lengths[:, None]] = flat
    return rows


def _refuse_twice(outline: Outline, name: str) -> None:
    places = outline.layers * (outline.neurons.max(initial=0) + 1) + outline.neurons
    distinct, first = np.unique(places, return_index=True)
    if len(distinct) == len(places):
        return
    twice = int(np.setdiff1d(np.arange(len(places)), first)[0])
    raise TextError(
        f"{name}: row {twice + 1:,} has neuron {outline.layers[twice]}.{outline.neurons[twice]}, "
        "as a row before it"
    )
