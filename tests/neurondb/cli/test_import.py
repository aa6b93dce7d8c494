"""`import`: models that only imports know are citizens of commands and of the site."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from neurondb.cli import cli
from neurondb.contracts.model import ModelRecord
from neurondb.database import connect, parse_url
from neurondb.errors import IngestError, NeuronDBError, TextError, UsageError
from neurondb.schema import tables
from neurondb.writing.models import store_model
from tests.neurondb.explore.site_client import Site
from tests.support import gluscope_files as files


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, list(map(str, arguments)))


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a gated and an ungated model, both imported."""
    folder = tmp_path_factory.mktemp("imported")
    path = files.write_dataset(folder / "acts.parquet", files.make_columns(files.draw()))
    texts = files.write_texts(folder / "texts.parquet")
    done = run(
        "import", "gluscope", path, "--model", "toy", "--texts", texts, "--db", folder / "n.db"
    )
    assert done.exit_code == 0, done.output
    assert "a new model known from imports alone" in done.stderr
    row = {"modelId": "gpt", "layer": "1", "index": "2"}
    rows = [
        row | {"description": "fruit of any kind", "typeName": "np"},
        row
        | {"tokens": ["An", " apple"], "values": [0, 2.5], "maxValue": 2.5}
        | {"maxValueTokenIndex": 1},
    ]
    (folder / "e.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in rows))
    done = run("import", "neuronpedia", folder / "e.jsonl", "--db", folder / "n.db")
    assert done.exit_code == 0, done.output
    return folder / "n.db"


@pytest.fixture(scope="module")
def site(db: Path) -> Iterator[Site]:
    served = Site(db)
    yield served
    served.close()


PARAMETERS = [word for at in ("model=toy", "layer=1", "neuron=2") for word in ("--param", at)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "toy", "1.2"), "gate+_in-"),
        (("show", "toy", "1.2", "--format", "json"), '"position": null'),
        (("show", "gpt", "1.2"), "fruit of any kind"),
        (("find", "model=toy freq>0.3"), "1.2"),
        (("find", "text~'apples' model=toy"), "1.2"),
        (("models",), "toy"),
        (("status",), "gluscope"),
        (("describe", "toy"), "15 neurons described"),
        (("check",), "whole"),
        (("query", "sign-cases-of-neuron", *PARAMETERS), "gate+"),
        (("case-study", "toy", "1.2"), "960 tokens"),
    ],
)
def test_commands_take_an_imported_model(arguments: tuple[str, ...], said: str, db: Path) -> None:
    done = run(*arguments, "--db", db)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert said in done.output


def test_a_missing_stage_is_named(db: Path) -> None:
    done = run("find", "model=toy weakening", "--db", db)
    assert "the weights were not ingested for toy" in done.output
    done = run("verify", "toy", "--published", "--db", db)
    assert "20 patterns" in done.output
    assert "nothing could be compared" in str(done.exception)
    done = run("plot", "classes-by-layer", "toy", "-o", db.with_name("x.svg"), "--db", db)
    assert isinstance(done.exception, NeuronDBError)
    assert "the weights were not ingested for toy" in str(done.exception)


@pytest.mark.parametrize(
    "path", ["/", "/model/toy", "/neuron/toy/1.2", "/neuron/gpt/1.2", "/find?q=freq%3E0.3"]
)
def test_the_site_has_pages_of_an_imported_model(path: str, site: Site) -> None:
    answer = site.get(path)
    assert answer.status == 200
    assert not re.search(r"\bNone\b(?! stored)", answer.text)


def test_bad_input_is_one_line(db: Path, tmp_path: Path) -> None:
    done = run("import", "gluscope", tmp_path / "none", "--model", "x", "--db", db)
    assert isinstance(done.exception, TextError)
    (tmp_path / "e.jsonl").write_text('{"modelId": "gpt", "layer": "1", "index": "x"}\n')
    done = run("import", "neuronpedia", tmp_path / "e.jsonl", "--db", db)
    assert isinstance(done.exception, TextError)
    assert "line 1: layer and index are '1' and 'x'" in str(done.exception)
    done = run("import", "gluscope", "x", "--model", "x", "--examples", "99", "--db", db)
    assert isinstance(done.exception, (UsageError, TextError))


def make_record(**values: object) -> ModelRecord:
    sizes = {"n_layers": files.LAYERS, "d_mlp": files.NEURONS, "d_model": 8, "d_vocab": 10}
    words = {
        "architecture": "llama",
        "activation": "silu",
        "fingerprint": "abc",
        "source": "hub/toy",
    }
    record = {"name": "toy", "revision": None, "tokenizer_fingerprint": None, "gated": True}
    return ModelRecord(**(record | sizes | words | values))  # type: ignore[arg-type]


def test_ingest_adds_weights_to_an_imported_model(tmp_path: Path) -> None:
    path = files.write_dataset(tmp_path / "acts.parquet", files.make_columns(files.draw()))
    run("import", "gluscope", path, "--model", "toy", "--db", tmp_path / "n.db")
    engine = connect(parse_url(str(tmp_path / "n.db")), writing=True)
    with pytest.raises(IngestError, match="another model named 'toy'"):
        store_model(engine, make_record(d_mlp=7), 0.5, force=False)
    stored = store_model(engine, make_record(), 0.5, force=False)
    with engine.connect() as connection:
        rows = connection.execute(select(tables.models.c.model_id, tables.models.c.d_model)).all()
        n_rows = connection.exec_driver_sql("SELECT COUNT(*) FROM sign_case_rows").scalar()
    engine.dispose()
    assert rows == [(stored.model_id, 8)]
    assert n_rows == 4 * files.LAYERS * files.NEURONS
