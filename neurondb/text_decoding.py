"""Bytes and strings from outside → text that can be stored, sent to a model and printed.

Files are UTF-8. A byte order mark in front is dropped, as it is no part of the text. Half of a
surrogate pair is no character: it becomes U+FFFD, as decoders have it.
"""

import os
import re
from pathlib import Path
from typing import Any, Final

from neurondb.errors import TextError

_MARK: Final = "\ufeff"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_OTHER_MARKS: Final = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_BYTES_LOOKED_AT: Final = 4096
_MOST_ZEROS: Final = 1 / 8
"""The largest share of zero bytes in a text; UTF-16 of European text has half, data has more."""


def read_text(file: Path) -> str:
    r"""Return a text file's content, line ends as `\n`, without a byte order mark.

    Raises:
        TextError: when it cannot be read, is no text, or is in another encoding.
    """
    try:
        return decode(file.read_bytes(), format_path(file))
    except OSError as error:
        reason = error.strerror or error
        raise TextError(f"{format_path(file)}: cannot be read ({reason})") from error


def decode(data: bytes, name: str) -> str:
    """Return bytes as `read_text` returns a file's; messages call them `name`."""
    for mark, encoding in _OTHER_MARKS.items():
        if data.startswith(mark):
            raise TextError(
                f"{name}: {encoding}, not UTF-8; convert it first (`iconv -f {encoding} -t UTF-8`)"
            )
    beginning = data[:_BYTES_LOOKED_AT]
    if beginning.count(0) > _MOST_ZEROS * len(beginning):
        raise TextError(f"{name}: no text but binary data, or UTF-16; leave it out or convert it")
    try:
        text = data.decode("utf-8").removeprefix(_MARK)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TextError(
            f"{name}: not UTF-8 at byte {error.start} (line {line}); convert it first, or leave it "
            "out if it is no text"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def replace_surrogates(value: Any) -> Any:
    """Return what JSON was read to with U+FFFD for each lone surrogate of its strings."""
    if isinstance(value, str):
        return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, list):
        return [replace_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {replace_surrogates(key): replace_surrogates(item) for key, item in value.items()}
    return value


def is_text(argument: str) -> bool:
    """Tell whether an argument is text: bytes that are no UTF-8 and zero bytes are not."""
    return "\0" not in argument and _SURROGATE.search(argument) is None


def format_path(path: str | Path) -> str:
    r"""Return a path as text that can be stored and printed; bytes that are no UTF-8 as `\xNN`."""
    text = str(path).replace("\0", r"\x00")
    try:
        return os.fsencode(text).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # surrogates that stand for no byte
        return text.encode("utf-8", "backslashreplace").decode("utf-8")
