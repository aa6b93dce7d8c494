"""What `neurondb ingest` makes of its options, before anything is loaded."""

import re
from dataclasses import replace

import click
import pytest

from neurondb.cli import ingest as cli_ingest
from neurondb.cli.options import Layers
from neurondb.contracts.ingest import IngestReport, IngestRequest
from neurondb.errors import UsageError


@pytest.mark.parametrize(
    ("given", "layers"),
    [
        ("0-3,7,-1", (0, 1, 2, 3, 7, -1)),
        ("-4--2", (-4, -3, -2)),
        ("1..3, 5", (1, 2, 3, 5)),
        ("0", (0,)),
    ],
)
def test_layers_are_numbers_and_ranges(given: str, layers: tuple[int, ...]) -> None:
    assert Layers().convert(given, None, None) == layers


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--shard", v) for v in ("0/2", "3/2", "2", "1/0", "a/b", "-1/2", "")),
        *(("--layers", v) for v in ("a", "", "3-1", "-1-0", "1--1", "1-99999", "1.5")),
        *(("--window", v) for v in ("3", "a,b", "-1,3", "1,2,3")),
    ],
)
def test_values_that_cannot_be_read_are_quoted(option: str, value: str) -> None:
    with pytest.raises(click.BadParameter, match=re.escape(f"'{value}'")):
        cli_ingest.ingest.main(["m", option, value], standalone_mode=False)


def test_an_expression_that_cannot_be_read_is_told_before_the_model_is() -> None:
    arguments = ["m", "--dataset", "t.txt", "--stages", "traces", "--where", "freq>>0"]
    with pytest.raises(UsageError, match="character 6"):
        cli_ingest.ingest.main(arguments, standalone_mode=False)


def test_the_request_has_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[IngestRequest] = []

    def run(request: IngestRequest, _: object) -> IngestReport:
        requests.append(request)
        return IngestReport("m", "n.db", {}, {}, 0.0)

    monkeypatch.setattr(cli_ingest, "load_job", lambda _: run)
    arguments = "m --dataset t.txt --layers -1 --label-field a.b --controls"
    for more in (
        "",
        "--shard 2/8 --summary s",
        "--stages traces --where weakening --window 5,0",
    ):
        cli_ingest.ingest.main([*arguments.split(), *more.split()], standalone_mode=False)
    plain = IngestRequest(
        model="m", dataset="t.txt", layers=(-1,), label_field="a.b", controls=True
    )
    assert requests == [
        plain,
        replace(plain, shard=(2, 8), summary="s"),
        replace(plain, stages=("traces",), where="weakening", window=(5, 0)),
    ]


def test_the_help_has_every_option_in_a_section() -> None:
    named = [name for names in cli_ingest.SECTIONS.values() for name in names]
    options = [p.name for p in cli_ingest.ingest.params if p.name != "model"]
    assert sorted(named) == sorted(filter(None, options))
    context = cli_ingest.ingest.make_context("ingest", ["m"], resilient_parsing=True)
    lines = cli_ingest.ingest.get_help(context).splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert [f"{title}:" for title in cli_ingest.SECTIONS if f"{title}:" not in lines] == []
