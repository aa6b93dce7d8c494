"""What is said to be computed in float32 is, in databases of `ingest`; and is found again."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from neurondb.cli.find import find as find_command
from neurondb.cli.show import show
from neurondb.cli.sql import sql as sql_command
from neurondb.find import find
from neurondb.schema.columns import FLOAT32_BY_TABLE
from neurondb.sql import open_engine
from tests.support.ingested import Subject, subject

DECIDED_BETWEEN_EQUALS = 0.05
"""Share of cosines of tokens that may be float64: those by which a tie was settled."""


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def model(request: pytest.FixtureRequest) -> Subject:
    return subject(request.param)


@pytest.mark.parametrize("table", FLOAT32_BY_TABLE)
def test_columns_hold_float32(model: Subject, table: str) -> None:
    for column in FLOAT32_BY_TABLE[table]:
        stored = model.rows(f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL")
        values = np.array(stored, dtype=np.float64)
        share = (values.astype(np.float32) == values).mean() if values.size else 1
        assert share >= 1 - DECIDED_BETWEEN_EQUALS * (table == "top_tokens"), column


def test_find_and_sql_write_the_digits_by_which_numbers_are_found_again(model: Subject) -> None:
    path = model.rows("PRAGMA database_list")[0][2]
    ((exact, *others),) = model.rows(
        "SELECT in_out, out_norm, freq, post_mean FROM neuron_overview WHERE name = '1.3'"
    )
    columns = ("in_out", "out_norm", "freq", "post_mean")
    asked = ["1.3", "--columns", ",".join(columns), "--format", "json", "--db", path]
    (row,) = json.loads(CliRunner().invoke(find_command, asked).stdout)

    assert row["in_out"] == float(str(np.float32(exact)))
    assert np.float32(row["in_out"]) == exact != row["in_out"]
    assert row["out_norm"] == float(str(np.float32(others[0])))
    assert [row["freq"], row["post_mean"]] == others[1:]

    statement = "SELECT in_out, in_out AS again FROM neuron_overview WHERE name = '1.3'"
    asked = [statement, "--format", "json", "--db", path]
    (row,) = json.loads(CliRunner().invoke(sql_command, asked).stdout)
    assert row == {"in_out": float(str(np.float32(exact))), "again": exact}


def test_a_page_as_json_has_these_digits_too(model: Subject) -> None:
    path = model.rows("PRAGMA database_list")[0][2]
    ((name,),) = model.rows("SELECT name FROM models")
    asked = [name, "1.3", "--format", "json", "--db", path]
    page = json.loads(CliRunner().invoke(show, asked).stdout)
    ((norm, penalty),) = model.rows(
        "SELECT out_norm, penalty FROM neuron_overview WHERE name = '1.3'"
    )
    assert page["identity"]["out_norm"] == float(str(np.float32(norm)))
    assert page["identity"]["penalty"] == penalty


def test_what_is_written_is_neither_above_nor_below_what_is_stored(model: Subject) -> None:
    path = model.rows("PRAGMA database_list")[0][2]
    with open_engine(path) as engine:

        def fits(term: str) -> bool:
            return bool(list(find(engine, f"1.3 {term}").rows))

        for (value,) in model.rows(
            "SELECT in_out FROM neuron_overview WHERE layer = 1 AND neuron = 3"
        ):
            written = str(np.float32(value))
            assert fits(f"in_out={written}")
            assert fits(f"in_out={written}..{written}")
            assert fits(f"in_out<={written}")
            assert fits(f"in_out>={written}")
            assert not fits(f"in_out<{written}")
            assert not fits(f"in_out>{written}")
            assert not fits(f"in_out!={written}")
            assert fits(f"|in_out|={written.removeprefix('-')}")
