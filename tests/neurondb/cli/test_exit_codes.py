"""Exit codes of every command: 2 for what is wrong anywhere, 1 for what is not here."""

import sys
from pathlib import Path

import pytest

from neurondb.cli import COMMANDS, main
from tests.support.sample_facts import Sample

LLAMA = "sample-llama"
ON = ("--dataset", "sample")
WRONG_FOR_ALL = [
    ["find", "clss=3"],
    ["find", "--order", "nothing"],
    ["find", "|in_out"],
    ["query"],
    ["query", "no-such-query"],
    ["query", "weakening-often", "--param", "freq=often"],
    ["query", "weakening-often", "--param", "nothing=1"],
    ["show", LLAMA, "one.two"],
    ["show", LLAMA, "1"],
    ["show", LLAMA, "1.1", "--case", "gate"],
    ["tokens", LLAMA],
    ["tokens", LLAMA, " dog", "--layers", "x"],
    ["tokens", LLAMA, " dog", "--limit", "-1"],
    ["ablate", LLAMA, *ON],
    ["ablate", LLAMA, "--class", "weakening"],
    ["ablate", LLAMA, "--class", "no-such-class", *ON],
    ["ablate", LLAMA, "--neurons", "9", *ON],
    ["ablate", LLAMA, "--where", "clss=3", *ON],
    ["ablate", LLAMA, "--neurons", "1.1", *ON, "--condition", "gate"],
    ["ablate", LLAMA, "--neurons", "1.1", *ON, "--metrics", "no-such-metric"],
    ["ablate-suite", LLAMA, "--classes", "no-such-class", *ON],
    ["ablate-each", LLAMA, "--class", "no-such-class", *ON],
    ["clamp", LLAMA, "9", "a prompt"],
    ["generate", LLAMA, "a prompt", "--clamp", "9=1"],
    ["entropy", LLAMA, "--neurons", "9", *ON],
    ["attributes", "rate"],
    ["prompt", LLAMA],
    ["prompt", LLAMA, "a prompt", "--at", "first"],
    ["prompt", LLAMA, "a prompt", "--by", "luck"],
    ["prompt", LLAMA, "a prompt", "--without", "9"],
    ["prompt", LLAMA, "a prompt", "--where", "clss=3"],
    ["activations", LLAMA, "9", "a text"],
    ["activations", LLAMA, "1.1"],
    ["concept", LLAMA],
    ["neighbours", LLAMA, "--top", "0"],
    ["universality", LLAMA],
    ["universality", LLAMA, LLAMA, *ON],
    ["universality", LLAMA, "sample-gpt", *ON, "--layer-window", "-1"],
    ["heads", LLAMA, "--pairs", "1.1"],
    ["families", LLAMA],
    ["families", LLAMA, *ON, "--least-score", "2"],
    ["describe"],
    ["find", "deactivates>=few"],
    ["neighbours", LLAMA, "--threshold", "2"],
    ["find", "downstream(1)"],
    ["concept", LLAMA, "dog", "--steps", "1"],
    ["texts", "a", "--limit", "-1"],
    ["case-study", LLAMA, "9"],
    ["case-study", LLAMA],
    ["case-study", LLAMA, "--where", "clss=3"],
    ["report", LLAMA],
    ["verify", LLAMA, "--published", "--as", "no-such-model"],
    ["find", "text~"],
    ["find", "fires.token=", "--limit", "1"],
    ["plot", "no-such-figure", LLAMA, "-o", "a.svg"],
    ["plot", "layer-scatter", LLAMA, "-o", "a.svg"],
    ["plot", "layer-scatter", LLAMA, "--layer", "x", "-o", "a.svg"],
    ["plot", "classes-by-layer", LLAMA, "-o", "a.gif"],
    ["status", "--model", LLAMA],
    ["ingest", LLAMA, "--stages", "no-such-stage"],
    ["ingest", LLAMA, "--stages", "activations"],
    ["compare", LLAMA, LLAMA],
    ["annotate"],
    ["merge"],
    ["verify"],
    ["serve", "--setting", "nothing=1"],
    ["no-such-command"],
]
"""Each names something that the program has not, or says what means nothing."""
NOT_HERE = [
    ["find", "model=nobody"],
    ["find", "weakening dataset=nothing"],
    ["find", "@no-such-file"],
    ["query", "class-counts-by-layer", "--param", "model=nobody"],
    ["sql", "SELECT nothing FROM neurons"],
    ["show", "nobody", "1.1"],
    ["neighbours", "nobody"],
    ["explain", "nobody", "--where", "weakening", "--command", "true"],
    ["universality", LLAMA, "nobody", *ON],
    ["heads", "nobody"],
    ["families", "nobody", *ON],
    ["describe", "nobody"],
    ["find", "downstream(99.1)"],
    ["show", LLAMA, "99.1"],
    ["show", LLAMA, "1.9999"],
    ["show", LLAMA, "1.1", "--dataset", "nothing"],
    ["tokens", "nobody", " dog"],
    ["tokens", LLAMA, " no such token"],
    ["tokens", LLAMA, "#99999"],
    ["tokens", LLAMA, " dog", "--layers", "99"],
    ["ablate", "nobody", "--class", "weakening", *ON],
    ["ablate", LLAMA, "--neurons", "99.1", *ON],
    ["ablate", LLAMA, "--set", "nothing", *ON],
    ["ablate", "--rerun", "99"],
    ["ablate-suite", "nobody", *ON],
    ["ablate-each", "nobody", "--class", "weakening", *ON],
    ["clamp", "nobody", "1.1", "a prompt"],
    ["generate", "nobody", "a prompt"],
    ["entropy", "nobody", "--neurons", "1.1", *ON],
    ["plot", "classes-by-layer", "nobody", "-o", "a.svg"],
    ["plot", "layer-scatter", LLAMA, "--layer", "99", "-o", "a.svg"],
    ["plot", "layer-scatter", LLAMA, "--neuron", "1.9999", "-o", "a.svg"],
    ["plot", "frequency-by-class", LLAMA, "--dataset", "nothing", "-o", "a.svg"],
    ["plot", "frequency-against-cosine", "sample-gpt", "--param", "cosine=gate_in", "-o", "a.svg"],
    ["plot", "ablation-histogram", LLAMA, "--param", "run=99", "-o", "a.svg"],
    ["plot", "attribute-curves", LLAMA, "--param", "file=no-such-file", "-o", "a.svg"],
    ["status", "nobody"],
    ["verify", "nobody"],
    ["compare", LLAMA, "nobody"],
    ["compare", LLAMA, "sample-gpt"],
    ["annotate", "no-such-file"],
    ["merge", "no-such-file"],
    ["ingest", "./no-such-directory"],
    ["prompt", "nobody", "a prompt"],
    ["prompt", LLAMA, "a prompt", "--without", "99.1"],
    ["prompt", LLAMA, "a prompt", "--without-set", "nothing"],
    ["activations", "nobody", "1.1", "a text"],
    ["activations", LLAMA, "99.1", "a text"],
    ["concept", "nobody", "dog"],
    ["concept", LLAMA, "--file", "no-such-file"],
    ["texts", "a", "--dataset", "nothing"],
    ["case-study", "nobody", "1.1"],
    ["case-study", LLAMA, "99.1"],
    ["case-study", LLAMA, "1.1", "--dataset", "nothing"],
    ["report", "nobody", "-o", "report"],
    ["verify", "nobody", "--published"],
    ["report", "nobody", "-o", "no-such-folder"],
]
"""Each is well-formed; another database, or another machine, could answer it."""
WITHOUT_NAMES = {"models", "check", "upgrade", "demo", "publish", "copy", "export", "import"}
"""Commands that name nothing that might not be there."""


def left(arguments: list[str], sample: Sample, monkeypatch: pytest.MonkeyPatch) -> object:
    takes_database = arguments[0] not in ("demo", "no-such-command", "attributes")
    database = ("--db", sample.url) if takes_database else ()
    monkeypatch.setattr(sys, "argv", ["neurondb", *arguments, *database])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


@pytest.mark.parametrize("code", [2, 1])
def test_2_is_for_what_is_wrong_anywhere_and_1_for_what_is_not_here(
    code: int,
    sample: Sample,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = {2: WRONG_FOR_ALL, 1: NOT_HERE}[code]
    ended = {" ".join(one): left(one, sample, monkeypatch) for one in asked}
    assert {line: got for line, got in ended.items() if got != code} == {}
    assert not list(tmp_path.iterdir())


def test_every_command_that_names_something_is_looked_at() -> None:
    asked = {one[0] for one in (*WRONG_FOR_ALL, *NOT_HERE)}
    assert set(COMMANDS) - asked == WITHOUT_NAMES


def test_the_code_of_an_argument_given_as_an_option_names_the_argument(
    sample: Sample, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert left(["status", "--model", "nobody"], sample, monkeypatch) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "MODEL" in last
    assert "--help" not in last
    assert left(["status", "nobody"], sample, monkeypatch) == 1
    assert LLAMA in capsys.readouterr().err
