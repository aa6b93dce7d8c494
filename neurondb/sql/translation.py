"""`median(x)` and `quantile(x, share)` in the form that PostgreSQL has for them.

Query files are for both databases. PostgreSQL's own aggregates `percentile_cont(share) WITHIN GROUP
(ORDER BY x)` have another syntax, and one that took the same arguments would copy all values once a
row; so calls are rewritten before a statement is run.
"""

import re
from typing import Final

_SKIPPED: Final = (
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|(?P<tag>\$\w*\$).*?(?P=tag)"""
)
"""Texts, quoted names and comments: nothing in them is a call."""
_SKIP: Final = re.compile(_SKIPPED, re.DOTALL)
_SKIP_OR_CALL: Final = re.compile(
    rf"{_SKIPPED}|(?<![\w.$])(?P<name>median|quantile)\s*\(", re.DOTALL | re.IGNORECASE
)
_N_ARGUMENTS: Final = {"median": 1, "quantile": 2}
_DEEPEST: Final = 50
"""Calls within one another beyond which a statement is left as it is."""


def translate_aggregates(sql: str, depth: int = 0) -> str:
    """Return a statement with calls of `median` and `quantile` as PostgreSQL writes them."""
    parts: list[str] = []
    place = 0
    for match in _SKIP_OR_CALL.finditer(sql) if depth < _DEEPEST else ():
        if match["name"] is None or match.start() < place:
            continue  # no call, or within one that is translated already
        arguments, end = _split_arguments(sql, match.end())
        if len(arguments) != _N_ARGUMENTS[match["name"].lower()]:
            continue  # no call of ours: PostgreSQL says what is wrong with it
        value, share = (translate_aggregates(one, depth + 1) for one in (*arguments, "0.5")[:2])
        within = f"PERCENTILE_CONT({share.strip()}) WITHIN GROUP (ORDER BY {value.strip()})"
        parts += [sql[place : match.start()], within]
        place = end
    return "".join((*parts, sql[place:]))


def _split_arguments(sql: str, start: int) -> tuple[list[str], int]:
    """Return the arguments of a call that begin at `start`, and where the call ends.

    There are none where its parenthesis is never closed.
    """
    arguments, depth, first, place = [], 1, start, start
    while place < len(sql):
        if (skipped := _SKIP.match(sql, place)) is not None:
            place = skipped.end()
            continue
        character = sql[place]
        depth += (character in "([") - (character in ")]")
        if depth == 0 or (depth == 1 and character == ","):
            arguments.append(sql[first:place])
            first = place + 1
        place += 1
        if depth == 0:
            return arguments, place
    return [], place
