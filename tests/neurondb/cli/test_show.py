"""`neurondb show` end to end."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from neurondb.cli import cli, main
from neurondb.errors import DatabaseError, UnknownNameError
from neurondb.schema import codes
from tests.support.sample_database import build
from tests.support.sample_facts import WIDTH, Sample

Show = Callable[..., Result]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return build(tmp_path_factory.mktemp("show") / "sample.db")


@pytest.fixture
def show(sample: Sample) -> Show:
    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["show", "--db", sample.url, *arguments])

    return invoke


def test_the_page_agrees_with_neuron_overview(show: Show, sample: Sample) -> None:
    expected = sample.named("sample-llama", "2.7")

    found = json.loads(show("sample-llama", "2.7", "--format", "json").stdout)

    assert found["identity"]["neuron_id"] == expected["neuron_id"]
    assert found["identity"]["sign"] == expected["sign"]
    assert found["verdict"]["read_write"]["name"] == expected["class"]
    assert [c["value"] for c in found["cosines"]] == [
        expected[pair] for pair in ("gate_in", "gate_out", "in_out")
    ]
    assert found["activations"]["freq"] == expected["freq"]
    assert found["vocabulary"]["role"] == expected["role"]
    assert found["vocabulary"]["promotes"]["token"] == expected["top_out_token"]


def test_every_neuron_of_the_sample_has_a_page_without_control_characters(
    show: Show, sample: Sample
) -> None:
    names = [n["name"] for n in sample.neurons if n["neuron"] in (0, 1, 63)]

    for model in ("sample-llama", "sample-gpt"):
        result = show(model, *names[: len(names) // 2])
        assert result.exit_code == 0
        assert not set(result.stdout) & {"\x1b", "\x07", "\r", "\u202e"}
        assert result.stderr == ""


def test_several_neurons_give_several_pages(show: Show) -> None:
    text = show("sample-llama", "0.1", "3.63").stdout

    assert "sample-llama 0.1 " in text
    assert "sample-llama 3.63 " in text


def test_several_neurons_give_several_json_documents(show: Show) -> None:
    text = show("sample-llama", "0.1", "3.63", "--format", "json").stdout
    first, end = json.JSONDecoder().raw_decode(text)
    second, _ = json.JSONDecoder().raw_decode(text[end:].lstrip())

    assert (first["identity"]["name"], second["identity"]["name"]) == ("0.1", "3.63")


def test_other_formats_have_a_row_for_each_value(show: Show, tmp_path: Path) -> None:
    page = json.loads(show("sample-llama", "2.7", "--format", "json").stdout)
    for form in ("csv", "ndjson", "markdown"):
        assert show("sample-llama", "2.7", "--format", form).exit_code == 0
    lines = show("sample-llama", "2.7", "0.1", "--format", "ndjson").stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["name"] for row in rows} == {"2.7", "0.1"}
    values = {row["path"]: row["value"] for row in rows if row["name"] == "2.7"}
    assert values["identity.model"] == "sample-llama"
    assert json.loads(values["cosines.2.value"]) == page["cosines"][2]["value"]
    assert values["verdict.read_write.name"] == page["verdict"]["read_write"]["name"]
    assert show("sample-llama", "2.7", "-o", str(tmp_path / "n.parquet")).exit_code == 0
    assert show("sample-llama", "2.7", "-o", str(tmp_path / "n.json")).stdout == ""
    assert json.loads((tmp_path / "n.json").read_text()) == page


def test_options_choose_lists_and_examples(show: Show) -> None:
    found = json.loads(
        show(
            *("sample-llama", "0.0", "--format", "json", "--basis", "embed", "--tokens", "2"),
            *("--case", "gate-_in+", "--quantity", "hook_pre", "--examples", "2"),
        ).stdout
    )

    assert {one["basis"] for one in found["vocabulary"]["lists"]} == {"embed"}
    assert {len(one["tokens"]) for one in found["vocabulary"]["lists"]} == {2}
    (only,) = found["examples"]
    assert (only["sign_case"], only["quantity"]) == ("gate-_in+", "hook_pre")
    assert len(only["examples"]) == 2


def test_controls_are_shown_when_asked_for(show: Show) -> None:
    command = ("sample-llama", "1.0", "--examples", "1")

    page, without = show(*command, "--controls").stdout, show(*command).stdout
    found = json.loads(show(*command, "--controls", "--format", "json").stdout)

    assert "controls: random texts, and by quarters of |peak|" in page
    assert "controls" not in without
    assert [one["kind"] for one in found["controls"]] == list(codes.CONTROL_KINDS)
    assert {len(one["examples"]) for one in found["controls"]} == {1}


def test_statistics_by_token_are_shown_where_there_are_any(show: Show, sample: Sample) -> None:
    stored = [one for one in sample.token_stats if one["neuron_id"] == WIDTH]
    page, without = show("sample-llama", "1.0").stdout, show("sample-llama", "1.1").stdout
    assert "by frequent token: largest |mean hook_post|" in page
    assert "by frequent token" not in without
    found = json.loads(show("sample-llama", "1.0", "--tokens", "2", "--format", "json").stdout)
    assert [
        (code, one["rank"], one["token_id"], one["mean"], one["freq"], one["n"])
        for code, place in enumerate(found["token_stats"])
        for one in place["tokens"]
    ] == [
        (one["place_id"], one["rank"], one["token_id"], one["mean"], one["freq"], one["n"])
        for one in stored
        if one["rank"] < 2
    ]


def test_a_terminal_gets_tokens_in_colours(
    sample: Sample, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)

    cli(["show", "--db", sample.url, "sample-llama", "1.0"], standalone_mode=False)

    text = capsys.readouterr().out
    assert "hook_post of each token ÷ the largest in its list" in text
    assert "48;5;208m" in text
    assert "48;5;26m" in text


def test_labels_and_tokens_left_out_are_on_the_page(show: Show) -> None:
    text = show("sample-llama", "1.0").stdout

    assert "! not finite: 7 of 1,007 tokens are left out" in text
    assert "labels of sample (2)" in text
    assert any(line.startswith("  books ") for line in text.splitlines())


@pytest.mark.parametrize(
    "name", ["31", "a.b", "1.2.3.4", "1.", ".5", "1,2", "٣.١", "99999999999999999999.0"]
)
def test_what_is_no_neuron_is_wrong_usage(show: Show, name: str) -> None:
    result = show("sample-llama", name)

    assert result.exit_code == 2
    assert f"'{name}'" in result.stderr
    assert "LAYER.NEURON" in result.stderr
    assert result.stdout == ""


def test_no_neuron_is_wrong_usage(show: Show) -> None:
    assert show("sample-llama").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sample-lama", "0.0"), "'sample-llama'"),
        (("sample-llama", "4.0"), "0 to 63"),
        (("sample-llama", "0.0", "--dataset", "news"), "sample"),
        (("sample-gpt", "0.0", "--case", "gate+_in+"), "in+, in-"),
    ],
)
def test_what_does_not_exist_is_answered_with_what_does(
    show: Show, arguments: tuple[str, ...], said: str
) -> None:
    result = show(*arguments)

    assert isinstance(result.exception, UnknownNameError)
    assert said in str(result.exception)
    assert result.stdout == ""


def test_an_error_is_one_line_and_exit_code_one(
    sample: Sample, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["neurondb", "show", "--db", sample.url, "nobody", "0.0"])

    with pytest.raises(SystemExit) as stop:
        main()

    captured = capsys.readouterr()
    assert stop.value.code == 1
    assert captured.out == ""
    assert captured.err.startswith("neurondb: ")
    assert "'nobody'" in captured.err
    assert captured.err.count("\n") == 1


def test_show_loads_nothing_that_computes_or_migrates(sample: Sample) -> None:
    script = (
        "import sys\n"
        "from neurondb.cli import cli\n"
        f"cli(['show', '--db', {sample.url!r}, 'sample-llama', '0.0'], standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'ingest', 'alembic', 'pyarrow', 'datasette'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert done.returncode == 0
    assert done.stderr.strip() == "[]"


def test_help_has_examples_a_line_each() -> None:
    text = CliRunner().invoke(cli, ["show", "--help"]).stdout

    assert "  neurondb show llama-3.2-3b 27.8000\n" in text


def test_a_missing_database_is_not_created(tmp_path: Path) -> None:
    path = tmp_path / "none.db"

    result = CliRunner().invoke(cli, ["show", "--db", str(path), "m", "0.0"])

    assert isinstance(result.exception, DatabaseError)
    assert str(path) in str(result.exception)
    assert not path.exists()
