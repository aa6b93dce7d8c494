"""The lexer of the find language: an expression becomes lexemes that know where they stand."""

import re
from typing import Final, NamedTuple

from neurondb.errors import ExpressionError
from neurondb.name_matching import quote_word

END: Final = "end"
WORD: Final = "word"
TEXT: Final = "text"
OPERATOR: Final = "operator"
PERCENTILE: Final = "percentile"
"""A word with parentheses, `pct(out_norm)`."""
RELATED: Final = "related"
"""A word with a neuron in parentheses, `downstream(29.808)`."""

OPERATOR_SPELLINGS: Final = {"==": "=", "<>": "!=", "≤": "<=", "≥": ">=", "≠": "!="}
"""Other spellings of an operator → the usual one."""

_LEXEME = re.compile(
    r"""(?P<text>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")
      |(?P<operator><=|>=|!=|<>|==|[=<>≤≥≠~])
      |(?P<mark>[(),])
      |(?P<related>(?:downstream|upstream|neighbou?rs?)\([^()'"]*\))
      |(?P<percentile>[pP][cC][tT]\([^()'",=<>!≤≥≠~]*\))
      |(?P<word>[^\s()'",=<>!≤≥≠~]+)""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_VALUE = re.compile(
    r"(?!(?:downstream|upstream|neighbou?rs?)\()(?P<word>[^\s()'\",=<>!≤≥≠]+)", re.IGNORECASE
)
"""A word after an operator, or in a list, may have a `~` in it: `model=~/llama`."""
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}


class Lexeme(NamedTuple):
    """A piece of an expression; `kind` is `WORD`, `TEXT`, `OPERATOR`, `END`, or a mark itself.

    `start` is the number of its first character, from 0.
    """

    kind: str
    value: str
    start: int

    @property
    def quoted(self) -> str:
        """The value in quotes, for a message."""
        return quote_word(self.value)

    @property
    def where(self) -> str:
        """The place as a message says it, counted from 1."""
        return "at the end" if self.kind == END else f"at character {self.start + 1}"


def split_lexemes(text: str) -> list[Lexeme]:
    """Return the lexemes of an expression, the last of kind `END`.

    Raises:
        ExpressionError: at a quote that is not closed, or a lone '!'.
    """
    lexemes: list[Lexeme] = []
    place = _skip_space(text, 0)
    while place < len(text):
        is_value = bool(lexemes) and lexemes[-1].kind in (OPERATOR, ",")
        match = (_VALUE.match(text, place) if is_value else None) or _LEXEME.match(text, place)
        if match is None:
            raise ExpressionError(_describe_unreadable(text[place], place))
        lexemes.append(_make_lexeme(match))
        place = _skip_space(text, match.end())
    return [*lexemes, Lexeme(END, "", len(text))]


def _skip_space(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def _make_lexeme(match: re.Match[str]) -> Lexeme:
    kind, value = match.lastgroup, match.group()
    if kind == TEXT:
        return Lexeme(TEXT, unquote(value), match.start())
    if kind == OPERATOR:
        return Lexeme(OPERATOR, OPERATOR_SPELLINGS.get(value, value), match.start())
    if kind in (PERCENTILE, RELATED):
        return Lexeme(WORD, value, match.start())
    return Lexeme(WORD if kind == WORD else value, value, match.start())


def unquote(quoted: str) -> str:
    r"""Return the text between the quotes, escapes replaced.

    Only \n, \t, \r, \\, \' and \" are escapes: a token that is a lone byte is stored with its
    backslash (`\xe2`), and is written so.
    """
    return re.sub(
        r"\\(.)",
        lambda escape: _ESCAPES.get(escape[1], escape[0]),
        quoted[1:-1],
        flags=re.DOTALL,
    )


def _describe_unreadable(character: str, place: int) -> str:
    if character in "'\"":
        return f"the quote {character} at character {place + 1} is not closed"
    return f"cannot read {character!r} at character {place + 1}; 'not' and '!=' negate"
