"""The command as tests here run it, and pages that a published site answers."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from neurondb.cli import cli
from neurondb.errors import NeuronDBError

LLAMA, GPT = "sample-llama", "sample-gpt"
PAGES = (
    *("/", "/index.json", "/find?q=weakening", "/find.csv?q=weakening", "/search?q='nowhere'"),
    *(f"/model/{LLAMA}", f"/layer/{LLAMA}/1", f"/neuron/{LLAMA}/1.3", f"/token/{LLAMA}/0"),
    *("/text/1", f"/pair?left={LLAMA}/0.1&right={LLAMA}/0.2", f"/neuron/{LLAMA}/1.3.json"),
    f"/figure/classes-by-layer.json?model={LLAMA}",
    f"/figure/classes-by-layer.svg?model={LLAMA}",
    *("/-/neurondb/neurondb.css", "/-/neurondb/vega.js"),
    *("/neurondb", "/neurondb/models", "/neurondb/models.json", "/neurondb/models.csv"),
    *("/neurondb/neuron_overview.json", "/neurondb/class-counts-by-layer"),
)


def publish(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["publish", *arguments])


def done(*arguments: str) -> Result:
    result = publish(*arguments)
    if result.exception is not None:
        raise result.exception
    return result


def refusal(*arguments: str) -> str:
    error = publish(*arguments).exception
    assert isinstance(error, NeuronDBError), error
    assert "\n" not in str(error)
    return str(error)


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()
