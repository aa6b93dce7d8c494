"""Ask the questions of docs/cookbook.md, and write the first rows of each answer below it.

python docs/cookbook.py --db FILE            asks a database that `COMMANDS` made
python docs/cookbook.py --db FILE --check    exits with 1 when an answer is another one
python docs/cookbook.py --make --db FILE     runs `COMMANDS` first

The page is written by hand but for these tables. tests/test_cookbook.py asks all of it of small
databases, on SQLite and PostgreSQL; `.ci/fresh-clone` compares the answers with the page's.
"""

import argparse
import io
import itertools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Engine

from neurondb.database import open_existing
from neurondb.sql import Rows, run_sql
from neurondb.terminal.output_formats import write_markdown

PAGE: Final = Path(__file__).parent / "cookbook.md"
MODEL: Final = "tinyworld-2m"
COMMANDS: Final = (
    "neurondb demo",
    f"neurondb neighbours {MODEL}",
    f"neurondb ablate {MODEL} --where prediction --dataset tinyworld-heldout --max-texts 50 "
    "--baseline 3",
    f'neurondb ablate-each {MODEL} --where "layer=5 out_kurtosis>7" --dataset tinyworld-heldout '
    "--max-texts 20",
)
"""What makes the database that the answers are of."""
SHOWN: Final = 5
"""Rows of an answer that the page has."""
TOLERANCE: Final = 0.02
"""What a number may differ by between machines, as a share of it, or of 0.01 for tiny ones."""
_QUESTION: Final = re.compile(
    r"^### (?P<title>\d+\. [^\n]+)\n(?P<words>.*?)"
    r"```sql\n(?P<sql>.*?)```\n(?P<answer>.*?)(?=^#|\Z)",
    re.MULTILINE | re.DOTALL,
)


class Question(NamedTuple):
    """A question of the page: its heading, its statement, and the rows that the page has."""

    title: str
    sql: str
    answer: str


def read_questions(page: str) -> list[Question]:
    """Return the questions of a page in the cookbook's form."""
    return [
        Question(found["title"], found["sql"].strip(), found["answer"].strip())
        for found in _QUESTION.finditer(page)
    ]


def ask(engine: Engine, sql: str) -> Rows:
    """Return the first rows of an answer."""
    answer = run_sql(engine, sql)
    return Rows(answer.columns, iter(list(answer.rows)[:SHOWN]))


def write_answer(engine: Engine, sql: str) -> str:
    """Return the first rows of an answer as a table of Markdown."""
    table = io.StringIO()
    write_markdown(ask(engine, sql), table)
    return table.getvalue().strip()


def fill_page(page: str, engine: Engine) -> str:
    """Return the page with the answers that a database gives."""

    def fill(found: re.Match[str]) -> str:
        table = write_answer(engine, found["sql"])
        return f"### {found['title']}\n{found['words']}```sql\n{found['sql']}```\n\n{table}\n\n"

    return _QUESTION.sub(fill, page).rstrip() + "\n"


def find_differences(page: str, engine: Engine) -> Iterator[str]:
    """Yield a line for each answer that is not the page's, numbers within `TOLERANCE`."""
    for question in read_questions(page):
        expected, found = (
            [_split_row(line) for line in table.splitlines()]
            for table in (question.answer, write_answer(engine, question.sql))
        )
        for wanted, got in itertools.zip_longest(expected, found, fillvalue=["nothing"]):
            if len(wanted) != len(got) or not all(map(_agree, wanted, got)):
                yield f"{question.title}\n  page:  {wanted}\n  found: {got}"
                break


def _split_row(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def _agree(wanted: str, got: str) -> bool:
    if wanted == got:
        return True
    try:
        one, other = float(wanted), float(got)
    except ValueError:
        return False
    return abs(one - other) <= TOLERANCE * max(abs(one), 0.01)


def make_database(location: str) -> None:
    """Run `COMMANDS` on a database; what is stored already is not done again."""
    program = str(Path(sys.executable).with_name("neurondb"))
    for command in COMMANDS:
        words: list[Any] = [program, *shlex.split(command)[1:], "--db", location]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    """Fill in the answers, or compare them."""
    parser = argparse.ArgumentParser(description="Ask the cookbook's questions.")
    parser.add_argument("--db", required=True, help="a database that COMMANDS made")
    parser.add_argument("--make", action="store_true", help="run COMMANDS on it first")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    given = parser.parse_args()
    if given.make:
        make_database(given.db)
    engine = open_existing(given.db)
    page = PAGE.read_text(encoding="utf-8")
    try:
        if given.check:
            differences = list(find_differences(page, engine))
            print(*differences, sep="\n", file=sys.stderr, end="\n" * bool(differences))
            return 1 if differences else 0
        PAGE.write_text(fill_page(page, engine), encoding="utf-8")
    finally:
        engine.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main())
