"""A row of a dataset → a text and the part of the dataset that it is of, whatever the format."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from neurondb.errors import TextError
from neurondb.spelling import option
from neurondb.text_decoding import replace_surrogates


class LabelledText(NamedTuple):
    """A text, and the part of the dataset that it is of."""

    text: str
    label: str | None = None


LabelledTexts = Iterator[LabelledText | None]
"""What readers give: None stands for a row whose text is null."""


def read_row(row: Mapping[str, Any], label_field: str, where: str) -> LabelledText | None:
    """Return a row's text and label, None for null; lone surrogates in them are U+FFFD.

    Raises:
        TextError: when `text` is no string, or the label no single value; `where` names the row.
    """
    text = row["text"]
    if text is None:
        return None
    if not isinstance(text, str):
        raise TextError(f"{where}: 'text' is {type(text).__name__}, no string")
    label = _value(row, label_field)
    if isinstance(label, Mapping | list | bytes):
        raise TextError(
            f"{where}: {label_field!r} is {type(label).__name__}, no label; "
            f"name another field with {option('label_field')}, or '' for none"
        )
    # What has no value is NaN in tables that pandas wrote, and differs from itself.
    missing = label is None or label != label
    return LabelledText(
        replace_surrogates(text),
        None if missing else replace_surrogates(str(label).strip()) or None,
    )


def _value(row: Mapping[str, Any], field: str) -> Any:
    """Return a field's value, that of `a.b` from within the object `a`; None where it is absent."""
    if not field or field in row:
        return row.get(field) if field else None
    value: Any = row
    for name in field.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value
