"""Libraries that print while they load: nothing of it reaches the user."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Drop what libraries print, log below errors, or warn of, while this is open."""
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
