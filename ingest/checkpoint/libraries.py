"""Large libraries under our own roof: what they print is dropped, what they raise is one line.

transformers, tokenizers and transformer_lens print while they load, and raise many unrelated types.
A user sees neither: messages are ours, and an error of theirs becomes the reason in one of ours.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def silence_libraries() -> Iterator[None]:
    """Drop what libraries print, log below errors, or warn of, while this is open.

    What transformers and transformer_lens log below errors stays dropped when it is closed again.
    """
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        from transformers.utils import logging as transformers_logging

        # Also afterwards: what they say while running is no message of ours either.
        transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        logging.getLogger("transformer_lens").setLevel(logging.ERROR)
        yield


def first_line(error: BaseException) -> str:
    """Return the first line of a library's error message; the error's type where it has none.

    Our own errors are one line, into which this goes as the reason. Some libraries raise messages
    of a screen's length, others none at all.
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
