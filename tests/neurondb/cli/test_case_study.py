"""`neurondb case-study` end to end: which neurons, which format, where it goes."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import neurondb as ndb
from neurondb.cli import cli, main
from neurondb.errors import NeuronDBError, UnknownNameError, UsageError
from tests.support.sample_facts import Sample

Study = Callable[..., Result]


@pytest.fixture
def study(sample: Sample) -> Study:
    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["case-study", "--db", sample.url, *arguments])

    return invoke


def list_neurons(markdown: str) -> list[str]:
    return re.findall(r"^## ([0-9]+\.[0-9]+), ", markdown, re.MULTILINE)


def test_markdown_goes_to_stdout_in_the_order_of_the_neurons(study: Study) -> None:
    for arguments in ((), ("-o", "-")):
        result = study("sample-llama", "3.2", "0.1", "3.2", *arguments)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.startswith("# sample-llama: case studies\n")
        assert list_neurons(result.stdout) == ["3.2", "0.1"]


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a.md", "# sample-llama: neuron 1.7"),
        ("a.HTML", "<!doctype html>"),
        ("a", "# sample-llama"),
    ],
)
def test_the_suffix_says_the_format(study: Study, tmp_path: Path, name: str, start: str) -> None:
    assert study("sample-llama", "1.7", "-o", str(tmp_path / name)).stdout == ""
    assert (tmp_path / name).read_text().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_format_that_is_asked_for_goes_before_the_suffix(study: Study, tmp_path: Path) -> None:
    study("sample-llama", "1.7", "--format", "html", "-o", str(tmp_path / "a.md"))
    assert (tmp_path / "a.md").read_text().startswith("<!doctype html>")


def test_an_error_leaves_the_file_that_was_there(study: Study, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("before")
    assert study("sample-llama", "9.9", "-o", str(tmp_path / "a.md")).exit_code == 1
    assert (tmp_path / "a.md").read_text() == "before"


def test_neurons_are_found_as_find_orders_them(study: Study, sample: Sample) -> None:
    wanted = [
        row
        for row in sample.neurons
        if row["model"] == "sample-llama" and row["class"] == "weakening"
    ]
    result = study("sample-llama", "--where", "weakening", "--order", "-freq", "--limit", "2")
    freq = {row["name"]: row["freq"] for row in wanted}
    expected = sorted(freq.values(), reverse=True)[:2]
    assert [freq[name] for name in list_neurons(result.stdout)] == expected
    assert result.stderr == f"the first 2 of {len(wanted)} neurons; --limit 0 writes all\n"


def test_other_ways_to_choose_are_those_of_other_commands(study: Study, sample: Sample) -> None:
    weakening = [
        row["name"]
        for row in sample.neurons
        if row["model"] == "sample-llama" and row["class"] == "weakening"
    ]
    of_class = study("sample-llama", "--class", "weakening", "--limit", "0")
    assert list_neurons(of_class.stdout) == weakening
    assert of_class.stderr == ""
    drawn = study("sample-llama", "--class", "weakening", "--draw", "2", "--seed", "1")
    assert set(list_neurons(drawn.stdout)) < set(weakening)
    listed = study("sample-llama", "--neurons", "1.8,1.7")
    assert list_neurons(listed.stdout) == ["1.7", "1.8"]
    by_sql = study("sample-gpt", "--sql", "SELECT layer, neuron FROM neuron_overview "
                   "WHERE model = 'sample-gpt' AND name = '2.2'")  # fmt: skip
    assert list_neurons(by_sql.stdout) == ["2.2"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name neurons as L.N, or say which by one of --where"),
        (("1.7", "--where", "weakening"), "not both"),
        (("--class", "weakening", "--order", "-freq"), "--order sorts the neurons of --where"),
        (("1.7", "-o", "a.pdf"), "a.pdf: no case study has the suffix '.pdf'; use .md"),
        (("--where", "weakening", "--set", "x"), "only one of"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(
    sample: Sample, arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    argv = ["neurondb", "case-study", "--db", sample.url, "sample-llama", *arguments]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as stop:
        main()
    captured = capsys.readouterr()
    assert (stop.value.code, captured.out, captured.err.count("\n")) == (2, "", 1)
    assert said in captured.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody", "1.7"), "no model 'nobody'"),
        (("sample-llama", "4.0"), "has no neuron 4.0"),
        (("sample-llama", "1.7", "--dataset", "news"), "no dataset 'news'"),
        (("sample-llama", "--set", "none"), "no set 'none'"),
        (("sample-llama", "--where", "out_norm>99"), "no neuron of sample-llama fits"),
    ],
)
def test_what_is_not_there_is_one_line_and_exit_code_one(
    study: Study, arguments: tuple[str, ...], said: str
) -> None:
    result = study(*arguments)
    assert isinstance(result.exception, NeuronDBError)
    assert not isinstance(result.exception, UsageError)
    assert said in str(result.exception)
    assert "\n" not in str(result.exception)
    assert result.stdout == ""


def test_python_writes_what_the_command_does(study: Study, sample: Sample) -> None:
    with ndb.open(sample.url) as db:
        assert db.case_study("sample-llama", (1, 7), examples=1, tokens=2) == (
            study("sample-llama", "1.7", "--examples", "1", "--tokens", "2").stdout
        )
        found = db.case_study("sample-llama", where="weakening", order="-freq", limit=2)
        assert len(list_neurons(found)) == 2
        with pytest.raises(TypeError, match="no option 'token'"):
            db.case_study("sample-llama", "1.7", token=3)
        with pytest.raises(UsageError, match="tokens is 0"):
            db.case_study("sample-llama", "1.7", tokens=0)
        with pytest.raises(UsageError, match="limit is -1; it is 0 at least"):
            db.case_study("sample-llama", where="weakening", limit=-1)
        with pytest.raises(UsageError, match="no format 'pdf'"):
            db.case_study("sample-llama", "1.7", form="pdf")
        with pytest.raises(UnknownNameError):
            db.case_study("sample-llama", "1.64")


def test_it_takes_what_asking_takes(sample: Sample) -> None:
    script = (
        "import sys\n"
        "from neurondb.cli import cli\n"
        f"cli(['case-study', '--db', {sample.url!r}, 'sample-llama', '0.0'], "
        "standalone_mode=False)\n"
        "heavy = {'torch', 'ingest', 'alembic', 'pyarrow', 'datasette', 'altair', 'vl_convert'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr.strip() == "[]"
