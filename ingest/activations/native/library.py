"""The library of the reduction: compiled beside what comes before it."""

from pathlib import Path
from typing import Final

from ingest.native_library import NativeLibrary, NotCompiledError

__all__ = ["NotCompiledError", "load_library", "prepare_library"]

_LIBRARY: Final = NativeLibrary(Path(__file__).with_name("reduction.c"))

prepare_library = _LIBRARY.prepare
load_library = _LIBRARY.load
