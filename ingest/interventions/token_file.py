"""The metrics of every token of some runs, as a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ingest.interventions.ablation_pass import DividedRunner
from ingest.interventions.token_values import TokenValues
from neurondb.atomic import open_atomic
from neurondb.errors import IngestError
from neurondb.interventions import METRICS


class TokenFile:
    """A file that grows by a run at a time.

    Its columns: run_id, baseline_of, text (its place in the dataset), position, token_id, and each
    metric clean and ablated; NULL where a token has none.

    Args:
        stream: The file to write to.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._writer: Any = None

    def write(
        self,
        run_id: int,
        baseline_of: int | None,
        runner: DividedRunner,
        values: TokenValues,
        run: int,
    ) -> None:
        """Write the tokens of a run.

        Args:
            run_id: The id under which the run is stored.
            baseline_of: The id of the run that it is the baseline of.
            runner: The runner that carried it out, with the clean values.
            values: The values of several runs, the run among them.
            run: The place of the run among those.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        texts, positions = runner.places.texts()
        n = len(texts)
        columns = {
            "run_id": pa.array([run_id] * n, pa.int64()),
            "baseline_of": pa.array([baseline_of] * n, pa.int64()),
            "text": pa.array(texts, pa.int32()),
            "position": pa.array(positions, pa.int32()),
            "token_id": pa.array(runner.list_counted_token_ids(), pa.int32()),
        }
        for metric in METRICS:
            for name, metric_values in (
                ("clean", runner.clean.read_metric(0, metric)),
                ("ablated", values.read_metric(run, metric)),
            ):
                columns[f"{metric}_{name}"] = pa.array(
                    metric_values, pa.float32(), from_pandas=True
                )
        table = pa.table(columns)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._stream, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        """Write the footer that a Parquet file ends with."""
        if self._writer is not None:
            self._writer.close()


@contextmanager
def open_token_file(path: str | None) -> Iterator[TokenFile | None]:
    """Open a file that takes its place at `path` only when all was written; None for no path.

    Raises:
        IngestError: when it cannot be written.
    """
    if path is None:
        yield None
        return
    with open_atomic(Path(path), IngestError) as stream:
        file = TokenFile(stream)
        yield file
        file.close()
