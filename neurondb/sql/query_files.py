"""The form of the files in queries/: a header of comments and one SELECT.

    -- title: One line
    -- description: What the rows are. Goes on
    --   over as many lines as it needs.
    -- needs: vocab, activations
    -- param model = null: model, only this model
    -- param token: token, required, for it has no default
    -- param pair = "in_out": choice(gate_in, gate_out, in_out), which vectors

A default is a JSON value. What a query needs, of `find.empty_answers.NEEDS`, tells why an answer
may have no rows.
`neurondb find … --explain` writes the same form.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from neurondb.errors import UsageError
from neurondb.name_matching import CLASS_NAMES, match_names, quote_word, split_words, suggest_names
from neurondb.neurons import is_expert_number
from neurondb.spelling import binding
from neurondb.sql.running import Value
from neurondb.text_decoding import read_text

Bindings: TypeAlias = dict[str, Value | None]

_COMMENT = re.compile(r"--\s?(.*)")
FIELDS: Final = ("title", "description", "needs", "param")
_FIELD = re.compile(rf"({'|'.join(FIELDS)})\b[:\s]\s*(.*)")
_PARAMETER = re.compile(r"(?P<name>\w+)\s*(?:=\s*(?P<rest>.*)|:\s*(?P<about>.*))")
_PARAMETER_LINE = re.compile(r"-- param (?P<name>\w+)\b(?P<about>.*)")

_KIND = re.compile(r"(?P<kind>\w+)(?:\((?P<choices>[^)]*)\))?\s*(?:,\s*(?P<meaning>.*))?")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a query.

    Attributes:
        name: Its name in the SQL, without the colon.
        kind: Its type, a key of `READERS`.
        default: The value where none is given; None, or NULL, is one too.
        required: Whether it has no default.
        meaning: What it means, for a list of parameters.
        choices: The values that a `choice` may have.
    """

    name: str
    kind: str
    default: Value | None
    required: bool
    meaning: str
    choices: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """The parameter in a list: `freq=0.6`, `token` when required, `[model]` when optional."""
        if self.required:
            return self.name
        return f"[{self.name}]" if self.default is None else f"{self.name}={self.default}"


@dataclass(frozen=True, slots=True)
class NamedQuery:
    """A query with what its header says; `sql` is the whole file, and `needs` are of `NEEDS`."""

    name: str
    title: str
    description: str
    parameters: tuple[Parameter, ...]
    sql: str
    needs: tuple[str, ...] = ()

    def bindings(self, values: Mapping[str, str]) -> Bindings:
        """Return the value of every parameter: the given one, read by its type, or its default.

        Raises:
            UsageError: when a parameter is missing, unknown or cannot be read.
        """
        by_name = {parameter.name: parameter for parameter in self.parameters}
        for name in values:
            if name not in by_name:
                hint = suggest_names(name, by_name) or "; it takes none"
                raise UsageError(f"{self.name} has no parameter {name!r}{hint}")
        missing = [p.name for p in self.parameters if p.required and p.name not in values]
        if missing:
            options_needed = " ".join(binding(name, "…") for name in missing)
            shows = f"`neurondb query {self.name} --show` says more"
            raise UsageError(f"{self.name} needs {options_needed}; {shows}")
        return {
            name: _read_value(parameter, values[name]) if name in values else parameter.default
            for name, parameter in by_name.items()
        }

    def loose_bindings(self, values: Mapping[str, str]) -> Bindings:
        """Return defaults and given values, read by the type that the header declares, if any."""
        by_name = {parameter.name: parameter for parameter in self.parameters}
        defaults = {p.name: p.default for p in self.parameters if not p.required}
        bindings = defaults | {
            name: _read_value(by_name[name], value) if name in by_name else parse_value(value)
            for name, value in values.items()
        }
        for name, parameter in by_name.items():
            if parameter.kind == "neuron" and isinstance(bindings.get(name), str):
                raise UsageError(
                    f"parameter {name} is {bindings[name]}: EXPERT.NUMBER is understood by named "
                    "queries; here a neuron is its number in the whole layer"
                )
        return bindings


def _read_value(parameter: Parameter, text: str) -> Value:
    try:
        return READERS[parameter.kind](parameter, text)
    except ValueError as error:
        kind = _DESCRIBED_KINDS.get(parameter.kind, f"of type {parameter.kind}")
        raise UsageError(
            f"parameter {parameter.name} is {quote_word(text)}, which is not {kind}"
        ) from error


def _read_neuron(parameter: Parameter, text: str) -> Value:
    """Read the number of a neuron in its layer; `EXPERT.NUMBER` stays a text."""
    return text if is_expert_number(text) else _read_natural(parameter, text)


def _read_natural(_parameter: Parameter, text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value


def _read_choice(parameter: Parameter, text: str) -> str:
    if text in parameter.choices:
        return text
    hint = suggest_names(text, parameter.choices)
    raise UsageError(f"parameter {parameter.name} cannot be {quote_word(text)}{hint}")


def _read_class(parameter: Parameter, text: str) -> Value:
    words = split_words(text)
    entries = match_names(words, CLASS_NAMES)
    if len(entries) == 1:
        return CLASS_NAMES[entries[0]]
    if entries:
        message = f"could be {', '.join(entries)}; write more of it"
        raise UsageError(f"parameter {parameter.name} is {quote_word(text)}, which {message}")
    hint = suggest_names(" ".join(words), CLASS_NAMES)
    raise UsageError(f"parameter {parameter.name}: unknown class {quote_word(text)}{hint}")


READERS: Final[dict[str, Callable[[Parameter, str], Value]]] = {
    "text": lambda _parameter, text: text,
    "model": lambda _parameter, text: text,
    "token": lambda _parameter, text: text,
    "property": lambda _parameter, text: text,
    "class": _read_class,
    "choice": _read_choice,
    "integer": lambda _parameter, text: int(text),
    "natural": _read_natural,
    "neuron": _read_neuron,
    "number": lambda _parameter, text: float(text),
}
"""Type of a parameter → how its text is read; models, tokens and properties are looked up later,
and where a text is of a neuron, its number in the layer."""

_DESCRIBED_KINDS: Final = {
    "natural": "a whole number from 0",
    "neuron": "a whole number from 0, nor EXPERT.NUMBER",
}


def parse_query(source: str, name: str) -> NamedQuery:
    """Return the query that a file's text holds; comments that are no field are passed over."""
    fields: list[list[str]] = []
    for line in source.splitlines():
        comment = _COMMENT.fullmatch(line.strip())
        if comment is None:
            break
        _add_line(fields, comment[1])
    texts = {name: [text for field, text in fields if field == name] for name in FIELDS}
    title, description, stages = (" ".join(texts[name]) for name in FIELDS[:-1])
    parameters = tuple(filter(None, map(_parse_parameter, texts["param"])))
    return NamedQuery(name, title, description, parameters, source.strip(), _split_list(stages))


def set_defaults(source: str, values: Mapping[str, Value]) -> str:
    """Return the text of a query whose header gives these values to its parameters as defaults.

    A value that the header has no parameter for is passed over.
    """
    lines = source.splitlines()
    for i, line in enumerate(lines):
        match = _PARAMETER_LINE.fullmatch(line)
        if match is None or match["name"] not in values:
            continue
        about = match["about"].lstrip(" =:")
        if "=" in match["about"].partition(":")[0]:
            _, end = json.JSONDecoder().raw_decode(about)
            about = about[end:].lstrip(" :")
        # A colon in a text would read as a parameter's.
        value = json.dumps(values[match["name"]]).replace(":", "\\u003a")
        lines[i] = f"-- param {match['name']} = {value}: {about}"
    return "\n".join(lines)


def _add_line(fields: list[list[str]], comment: str) -> None:
    field = _FIELD.fullmatch(comment)
    if field is not None:
        fields.append([field[1], field[2]])
    elif fields and comment.startswith(" "):
        fields[-1][1] += f" {comment.strip()}"


def _parse_parameter(text: str) -> Parameter | None:
    match = _PARAMETER.fullmatch(text)
    if match is None:
        return None
    default, description = None, match["about"]
    if match["rest"] is not None:
        try:
            default, end = json.JSONDecoder().raw_decode(match["rest"])
        except ValueError:
            return None
        description = match["rest"][end:].lstrip(" :")
    kind = _KIND.fullmatch(description.strip())
    if kind is None or kind["kind"] not in READERS:
        return None
    return Parameter(
        match["name"],
        kind["kind"],
        default,
        match["rest"] is None,
        kind["meaning"] or "",
        _split_choices(kind["choices"]),
    )


def _split_choices(text: str | None) -> tuple[str, ...]:
    return _split_list(text or "")


def _split_list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def format_query(title: str, sql: str, values: Mapping[str, Value], notes: Sequence[str]) -> str:
    """Return a query as the text of a file: values as defaults, notes as comments at the end."""
    kinds = {str: "text", int: "integer", float: "number"}
    header = [
        f"-- param {name} = {json.dumps(value)}: {kinds[type(value)]}"
        for name, value in values.items()
    ]
    return "\n".join(
        [f"-- title: {' '.join(title.split())}", *header, sql, *(f"-- {note}" for note in notes)]
    )


def read_sql_file(path: Path) -> str:
    """Return the text of an SQL file.

    Raises:
        TextError: when it cannot be read.
    """
    return read_text(path)


def parse_value(text: str) -> Value | None:
    """Return a value of no declared type: of JSON if a number, string or null, else the text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if value is None or type(value) in (str, int, float) else text
