"""The tokens that `ablate` changed most: those of plain hooks, stored with the run, once."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sqlalchemy import create_engine

from ingest.interventions.changed_tokens import N_KEPT
from ingest.jobs import ablate
from neurondb.contracts.ablate import RerunRequest
from neurondb.contracts.inputs import TextsRequest
from neurondb.interventions import METRICS
from neurondb.reading.changed_tokens import TOKENS_BEFORE, read_changed_tokens
from neurondb.reading.models import find_model
from tests.ingest.jobs.ablation_requests import MODEL, N_TEXTS, request, rows, run
from tests.ingest.jobs.test_ablate import NAMES, edits
from tests.support.ablation_reference import reference
from tests.support.ingested import Silent, encode, subject, text_file
from tests.support.real_models import BUNDLED, real_texts

STORED = """SELECT c.metric, c.rank, t.ordinal, c.position, c.token_id, c.clean, c.ablated
    FROM changed_tokens c JOIN texts t USING (text_id) WHERE c.run_id = ? ORDER BY 1, 2"""


def tokens_of(ordinal: int) -> list[int]:
    return encode(Path(subject(BUNDLED).request.model), real_texts(BUNDLED)[ordinal])[:60]


def test_they_are_those_of_plain_hooks(file: Path) -> None:
    (run_id,) = run(request(file)).run_ids
    of, chosen = reference(Path(subject(BUNDLED).request.model)), edits(file, NAMES, [0.0] * 3)
    changes: dict[str, list[tuple[float, int, int, float, float]]] = {}
    for ordinal in range(N_TEXTS):
        ids = tokens_of(ordinal)
        clean, after = of.metrics(ids), of.metrics(ids, chosen)
        for metric in ("loss", "entropy", "scale"):
            for position, (a, b) in enumerate(zip(clean[metric], after[metric], strict=True)):
                if np.isfinite([a, b]).all():
                    changes.setdefault(metric, []).append((abs(a - b), ordinal, position, a, b))
    found = rows(file, STORED, run_id)
    assert {row[0] for row in found} == {*METRICS}
    for metric, of_metric in changes.items():
        largest = sorted(of_metric, reverse=True)[:N_KEPT]
        mine = [row for row in found if row[0] == metric]
        assert [row[1] for row in mine] == list(range(N_KEPT))
        sizes = [abs(row[5] - row[6]) for row in mine]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes == pytest.approx([size for size, *_ in largest], abs=2e-5)
        values = {(ordinal, position): (a, b) for _, ordinal, position, a, b in of_metric}
        for _, _, ordinal, position, token_id, clean_value, ablated_value in mine:
            assert token_id == tokens_of(ordinal)[position]
            wanted = values[ordinal, position]
            assert (clean_value, ablated_value) == pytest.approx(wanted, abs=2e-5)


def test_they_are_the_first_of_every_tokens_values(file: Path, tmp_path: Path) -> None:
    """Ranks too, whose changes are often equal: those go by text and position."""
    saved = tmp_path / "tokens.parquet"
    run(request(file, baseline=1, save_tokens=str(saved)))
    columns = pq.read_table(saved).to_pydict()
    for one in {*columns["run_id"]}:
        wanted: list[tuple[Any, ...]] = []
        for metric in sorted(METRICS):
            changed = [
                (-abs(clean - ablated), text, position, token_id, clean, ablated)
                for of_run, text, position, token_id, clean, ablated in zip(
                    *(columns[name] for name in ("run_id", "text", "position", "token_id")),
                    *(columns[f"{metric}_{which}"] for which in ("clean", "ablated")),
                    strict=True,
                )
                if of_run == one and None not in (clean, ablated) and clean != ablated
            ]
            wanted += [
                (metric, rank, *more) for rank, (_, *more) in enumerate(sorted(changed)[:N_KEPT])
            ]
        assert rows(file, STORED, one) == wanted


def test_a_run_that_is_stored_keeps_its_tokens_and_one_without_gets_them(file: Path) -> None:
    (run_id,) = run(request(file)).run_ids
    before = rows(file, STORED, run_id)
    assert run(request(file)).n_new == 0
    (forced,) = run(request(file, force=True)).run_ids
    assert rows(file, STORED, forced) == before
    with create_engine(f"sqlite:///{file}").begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM changed_tokens WHERE run_id = {forced}")
    for _ in range(2):
        again = ablate.rerun(RerunRequest(forced, database=str(file)), Silent())
        assert (again.run_ids, again.n_new, again.largest_difference) == ((forced,), 0, 0.0)
        assert rows(file, STORED, forced) == before


def test_texts_that_the_model_was_not_ingested_with_get_their_token_ids(
    file: Path,
) -> None:
    texts = ("Once upon a time there was a small dog.", "The cat sat.")
    source = text_file(texts)
    asked = request(file, texts=TextsRequest(str(source), max_len=60))
    (run_id,) = run(asked).run_ids
    directory = Path(subject(BUNDLED).request.model)
    found = dict(
        rows(
            file,
            "SELECT t.ordinal, i.token_ids FROM text_token_ids i JOIN texts t USING (text_id) "
            "JOIN ablation_runs r USING (dataset_id) WHERE r.run_id = ?",
            run_id,
        )
    )
    wanted = {i: encode(directory, text)[:60] for i, text in enumerate(texts)}
    assert {i: list(struct.unpack(f"<{len(b) // 4}I", b)) for i, b in found.items()} == wanted
    with create_engine(f"sqlite:///{file}").connect() as connection:
        model = find_model(connection, MODEL)
        for of_metric in read_changed_tokens(connection, model, run_id):
            for one in of_metric.tokens:
                excerpt = one.excerpt
                assert excerpt.peak is not None
                n_before = one.position - (excerpt.first or 0)
                assert n_before == min(one.position, TOKENS_BEFORE)
                whole = excerpt.before + excerpt.peak + excerpt.after
                assert whole.strip() in f"{special(connection, model)}{texts[one.ordinal]}"
                is_last = one.position == len(wanted[one.ordinal]) - 1
                assert (excerpt.after == "") == is_last
                assert len([text for text in excerpt.tokens[n_before + 1 :] if text]) <= 1


def special(connection: Any, model: Any) -> str:
    """The text of the token that texts begin with, and the space that may follow it."""
    (first,) = {ids[0] for ids in map(tokens_of, range(2))}
    sql = f"SELECT token FROM tokens WHERE model_id = {model.model_id} AND token_id = {first}"
    return str(connection.exec_driver_sql(sql).scalar_one())
