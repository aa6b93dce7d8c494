"""The page docs/api.md: the public names of `import neurondb`, from their docstrings."""

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Final

import neurondb

_SECTION: Final = re.compile(r"^(Args|Returns|Raises|Yields|Attributes):$", re.MULTILINE)
_ITEM: Final = re.compile(r"^ {4}(\*{0,2}\w+): (.*(?:\n {5,}.*)*)", re.MULTILINE)
_TITLES: Final = {"Args": "Parameters"}
_LINE: Final = 76
"""Characters of a signature on one line."""


def python_page() -> str:
    """Return every public name of the package, with its members."""
    parts = [
        "# Python reference",
        "Generated from the docstrings of `neurondb` by `python docs/generate.py`. "
        "[From Python](python.md) shows how these are used; in the examples, `ndb` is "
        "`import neurondb as ndb`.",
    ]
    for name in sorted(neurondb.__all__, key=_order):
        if not name.startswith("_"):
            parts += _describe_public(name, getattr(neurondb, name))
    return "\n\n".join(parts) + "\n"


def _order(name: str) -> tuple[int, str]:
    """Put functions first, then the database, then what it returns, then errors."""
    value = getattr(neurondb, name)
    if not inspect.isclass(value):
        return 0, name
    return (3 if issubclass(value, Exception) else 1 + (name != "Database")), name


def _describe_public(name: str, value: Any) -> Iterator[str]:
    yield f"## {name}"
    if not inspect.isclass(value):
        yield _write_signature(f"neurondb.{name}", value)
        yield from write_docstring(inspect.getdoc(value) or "")
        return
    yield from write_docstring(inspect.getdoc(value) or "")
    if not issubclass(value, Exception):
        for member, found in _list_members(value):
            yield from _describe_member(name, member, found)


def _list_members(value: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties of a class and its bases, by name."""
    found: dict[str, Any] = {}
    for base in reversed(value.__mro__):
        found |= vars(base)
    for name, member in sorted(found.items()):
        documented = isinstance(member, property | cached_property) or inspect.isfunction(member)
        if not name.startswith("_") and documented:
            yield name, member


def _describe_member(owner: str, name: str, member: Any) -> Iterator[str]:
    yield f"### {owner}.{name}"
    if inspect.isfunction(member):
        yield _write_signature(name, member)
    yield from write_docstring(inspect.getdoc(member) or "")


def _write_signature(name: str, function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    parameters = [p for key, p in signature.parameters.items() if key != "self"]
    signature = signature.replace(parameters=parameters)
    line = f"{name}{_clean(str(signature))}"
    if len(line) > _LINE:
        # A parameter a line, with the signs that part the kinds of parameters.
        shown = _split_parameters(signature)
        returned = line.rpartition(" -> ")[2] if " -> " in line else ""
        body = "".join(f"    {parameter},\n" for parameter in shown)
        line = f"{name}(\n{body})" + (f" -> {returned}" if returned else "")
    return f"```python\n{line}\n```"


def _split_parameters(signature: inspect.Signature) -> list[str]:
    shown: list[str] = []
    starred = False
    for parameter in signature.parameters.values():
        starred |= parameter.kind is inspect.Parameter.VAR_POSITIONAL
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not starred:
            shown.append("*")
            starred = True
        shown.append(_clean(str(parameter)))
    return shown


def _clean(text: str) -> str:
    """Return a signature without the modules of its types."""
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Z])", "", text).replace("'", "")


def write_docstring(text: str) -> Iterator[str]:
    """Yield the paragraphs of a docstring of Google's style, as Markdown."""
    body, *sections = _SECTION.split(text)
    yield from _write_paragraphs(body)
    for title, content in zip(sections[::2], sections[1::2], strict=True):
        yield f"**{_TITLES.get(title, title)}**"
        items = _ITEM.findall(content)
        if title in ("Returns", "Yields") or not items:
            yield from _write_paragraphs(textwrap.dedent(content))
        else:
            yield "\n".join(f"- `{name}`: {_join_lines(said)}" for name, said in items)


def _write_paragraphs(text: str) -> Iterator[str]:
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        if block.startswith(">>>"):
            yield f"```pycon\n{block}\n```"
        elif block.startswith("    "):
            yield f"```text\n{textwrap.dedent(block)}\n```"
        elif block.strip():
            yield _join_lines(block)


def _join_lines(text: str) -> str:
    return " ".join(line.strip() for line in text.splitlines())
