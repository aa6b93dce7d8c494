"""Run the commands of docs/tutorial.md, and write what they print below them.

python docs/tutorial.py --db FILE            writes the outputs anew, from a database with the model
python docs/tutorial.py --db FILE --check    exits with 1 when a command prints something else

A block of commands after `<!-- as it ran -->` is left as it is: it takes minutes, or says how long
something took. `<!-- N lines -->` before a block keeps the first N lines of what a command prints.
"""

import argparse
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parent / "tutorial.md"
WIDTH: Final = 100
TOLERANCE: Final = 0.02
"""What a number may differ by between machines, as a share of it, or of 0.01 for tiny ones."""
_BLOCK: Final = re.compile(
    r"(?P<note><!-- (?:as it ran|(?P<lines>\d+) lines) -->\n)?"
    r"```console\n\$ (?P<command>(?:[^\n]*\\\n)*[^\n]*)\n(?P<output>.*?)```\n",
    re.DOTALL,
)
_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


def find_commands(page: str) -> list[str]:
    """Return the commands of a page that are run, in order."""
    return [
        found["command"].replace("\\\n", " ") for found in _BLOCK.finditer(page) if is_run(found)
    ]


def is_run(found: re.Match[str]) -> bool:
    """Tell whether a block is written anew."""
    return not (found["note"] or "").startswith("<!-- as it ran")


def run(command: str, database: str) -> str:
    """Return what a command prints to a terminal of `WIDTH` columns, without its progress."""
    words = shlex.split(command.replace("\\\n", " "))
    words[0] = str(Path(sys.executable).with_name(words[0]))
    ours, theirs = pty.openpty()
    environment = os.environ | {
        "NEURONDB_URL": database,
        "COLUMNS": str(WIDTH),
        "NO_COLOR": "1",
        "PAGER": "cat",
    }
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        os.close(theirs)
        text = b"".join(_read_all(ours)).decode()
        os.close(ours)
    if process.returncode != 0:
        raise SystemExit(f"{command}: exit {process.returncode}")
    lines = [line.rstrip() for line in _CONTROL.sub("", text).split("\n")]
    return "\n".join(lines).strip("\n")


def _read_all(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            read = os.read(descriptor, 1 << 16)
        except OSError:  # how a terminal of Linux ends
            return
        if not read:
            return
        yield read


def cut(output: str, lines: int | None) -> str:
    """Return the first lines of an output, and a sign that there are more."""
    shown = output.split("\n")
    if lines is None or len(shown) <= lines:
        return output
    return "\n".join([*shown[:lines], "…"])


def fill_page(page: str, database: str) -> str:
    """Return the page with what its commands print now; each is named on stderr as it runs."""

    def fill(found: re.Match[str]) -> str:
        if not is_run(found):
            return found[0]
        print(found["command"], file=sys.stderr)
        lines = found["lines"] and int(found["lines"])
        output = cut(run(found["command"], database), lines or None)
        return f"{found['note'] or ''}```console\n$ {found['command']}\n{output}\n```\n"

    return _BLOCK.sub(fill, page)


def agree(wanted: str, got: str) -> bool:
    """Tell whether two texts are the same but for small differences of numbers."""
    for one, other in zip_longest(wanted.split(), got.split(), fillvalue=""):
        if one == other:
            continue
        try:
            here, there = (float(word.strip("%,;()").replace(",", "")) for word in (one, other))
        except ValueError:
            return False
        if abs(here - there) > TOLERANCE * max(abs(here), 0.01):
            return False
    return True


def main() -> int:
    """Write the outputs anew, or compare them."""
    parser = argparse.ArgumentParser(description="Run the tutorial's commands.")
    parser.add_argument("--db", required=True, help="a database with the tutorial's model")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    given = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    filled = fill_page(page, given.db)
    if not given.check:
        PAGE.write_text(filled, encoding="utf-8")
        return 0
    pairs = zip(_BLOCK.finditer(page), _BLOCK.finditer(filled), strict=True)
    others = [one["command"] for one, other in pairs if not agree(one["output"], other["output"])]
    for command in others:
        print(f"prints something else now: {command}", file=sys.stderr)
    return 1 if others else 0


if __name__ == "__main__":
    sys.exit(main())
