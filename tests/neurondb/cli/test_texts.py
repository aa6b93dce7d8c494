"""`neurondb texts` as a user meets it, and the same from Python."""

import json
import re

import pytest
from click.testing import CliRunner, Result

import neurondb as ndb
from neurondb.cli import cli
from neurondb.errors import UnknownNameError, UsageError
from tests.support.sample_facts import TEXTS, Sample


def ask(sample: Sample, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["texts", *arguments, "--db", sample.url])


def knowing(sample: Sample, text_id: int) -> int:
    """How many neurons have a text among their examples."""
    return len({e["neuron_id"] for e in sample.examples if e["text_id"] == text_id})


def test_the_page_shows_the_text_around_the_match(sample: Sample) -> None:
    page = ask(sample, "upon", "a", "time")
    assert page.exit_code == 0
    assert "Once upon a time there was a dog." in page.stdout
    assert f"{knowing(sample, 1)} neurons" in page.stdout
    assert page.stderr == ""


def test_rows_are_for_programs(sample: Sample) -> None:
    rows = json.loads(ask(sample, '"upon a time"', "DO*", "--format", "json").stdout)
    assert rows == [
        {
            "text_id": 1,
            "dataset": "sample",
            "ordinal": 0,
            "label": "web",
            "n_neurons": knowing(sample, 1),
            "snippet": TEXTS[0],
        }
    ]
    rows = json.loads(ask(sample, "dog", "--no-neurons", "--format", "json").stdout)
    assert rows[0]["n_neurons"] is None


def test_what_acts_on_a_terminal_is_shown_as_signs(sample: Sample) -> None:
    page = ask(sample, "escape").stdout
    assert r"\x1b[31mred" in page
    assert "\x1b" not in page


def test_limits_and_datasets(sample: Sample) -> None:
    first = ask(sample, "a", "--limit", "1", "--dataset", "sample")
    assert first.stdout.count("text_id") == 1
    assert re.search(r"first 1 of \d.*--limit 0", first.stderr)
    every = ask(sample, "a", "--limit", "0")
    assert every.stdout.count("text_id") == sum(bool(re.search(r"(?i)\ba\b", t)) for t in TEXTS)
    assert every.stderr == ""


def test_nothing_found_is_a_line(sample: Sample) -> None:
    none = ask(sample, "quokka")
    assert (none.exit_code, none.stdout.strip()) == (0, "")
    assert "no text contains" in none.stderr


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ((), UsageError, "nothing to look for"),
        (("  ",), UsageError, "nothing to look for"),
        (('""',), UsageError, "nothing to look for"),
        (("x" * 10_000,), UsageError, "10,000"),
        (("dog", "--dataset", "nowhere"), UnknownNameError, "nowhere.*sample"),
    ],
)
def test_what_cannot_be_searched_is_one_line(
    sample: Sample, arguments: tuple[str, ...], kind: type[Exception], said: str
) -> None:
    refused = ask(sample, *arguments)
    assert isinstance(refused.exception, kind)
    assert re.search(said, str(refused.exception))
    assert "\n" not in str(refused.exception)


def test_python_finds_the_same(sample: Sample) -> None:
    with ndb.open(sample.url) as db:
        found = db.texts("dog")
        assert [row[0] for row in found] == [1]
        assert [row[0] for row in db.sql(found.sql, **found.parameters)] == [1]
        assert len(db.texts("a", limit=1, count_neurons=False, dataset="sample")) == 1
        with pytest.raises(UsageError, match="limit is -1"):
            db.texts("a", limit=-1)
        with pytest.raises(UsageError, match="nothing to look for"):
            db.texts("")
