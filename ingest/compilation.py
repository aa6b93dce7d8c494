"""Libraries in C: built by the system's compiler at first use, kept for later processes.

Compiling takes a second or two, once for each machine and version. It begins when somebody says
that the library will be needed, and goes on beside what comes before.
"""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TypeVar

from platformdirs import user_cache_path

from neurondb.atomic import replace_at_end

COMPILERS: Final = ("cc", "gcc", "clang")
PACKAGED: Final = "ziglang"
"""A package with Clang in it, for machines where none of these is and nobody may install one."""
OPTIONS: Final = ("-O3", "-std=gnu11", "-fPIC", "-shared", "-w")
TUNED: Final = (("-march=native",), ("-mcpu=native",), ())
"""For this very processor: one way or the other, as the compiler knows it, or not at all."""
ABOUT_PROCESSOR: Final = ("model name", "flags", "Features", "CPU part")
"""How the lines of /proc/cpuinfo begin that say which instructions compiled code may use."""


_Result = TypeVar("_Result")


class NotCompiledError(Exception):
    """There is no library, for the reason that this says in one line."""


@dataclass(frozen=True)
class Library:
    """A library of one source file, and the headers beside it."""

    source: Path

    def prepare(self) -> None:
        """Begin to compile the library in a thread, unless it is compiled already."""
        _build_aside(self.source)

    def load(self) -> ctypes.CDLL:
        """Return the library, waiting for the compiler where need be.

        Raises:
            NotCompiledError: There is no compiler, it fails, or what it made cannot be loaded.
        """
        return _build_aside(self.source).result()


def share_out(
    run: Callable[[int, int], _Result], n: int, multiple: int, threads: int
) -> list[_Result]:
    """Run a function for n rows in parallel, and return what it gave for each share.

    `run(first, end)` gets a thread's share; all shares but the last are a multiple of so many rows.
    """
    step = -(-n // (max(1, threads) * multiple)) * multiple
    if step >= n:
        return [run(0, n)]
    parts = [(first, min(first + step, n)) for first in range(0, n, step)]
    return list(_threads(threads).map(lambda part: run(*part), parts))


@cache
def _threads(n: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n, "native")


@cache
def _build_aside(source: Path) -> Future[ctypes.CDLL]:
    executor = ThreadPoolExecutor(1, "compiling")
    future = executor.submit(load_or_build, source)
    executor.shutdown(wait=False)
    return future


def load_or_build(source: Path) -> ctypes.CDLL:
    """Return the library of a source that an earlier process compiled, or compile it.

    Raises:
        NotCompiledError: There is no compiler, it fails, or what it made cannot be loaded.
    """
    command = _compiler()
    cache_key = f"{command} {OPTIONS} {TUNED} {_processor()}".encode()
    headers = sorted(source.parent.glob("*.h"))
    code = b"".join(file.read_bytes() for file in (source, *headers))
    name = hashlib.sha256(cache_key + code).hexdigest()[:16]
    cached_file = user_cache_path("neurondb") / "compiled" / f"{source.stem}-{name}.so"
    try:
        return ctypes.CDLL(str(cached_file))
    except OSError:  # none yet, or a damaged one
        pass
    try:
        with tempfile.TemporaryDirectory() as scratch:
            built = Path(scratch) / "library.so"
            _compile(command, source, built)
            library = ctypes.CDLL(str(built))
            _keep(built, cached_file)
    except OSError as error:
        raise NotCompiledError(str(error)) from error
    return library


def _compiler() -> list[str]:
    named = os.environ.get("CC")
    if named:
        return shlex.split(named)
    for name in COMPILERS:
        if shutil.which(name):
            return [name]
    if find_spec(PACKAGED):
        return [sys.executable, "-m", PACKAGED, "cc"]
    raise NotCompiledError(
        f"no C compiler here ({', '.join(COMPILERS)}; CC names another); pip install {PACKAGED}"
        " brings one"
    )


def _compile(command: list[str], source: Path, built: Path) -> None:
    for tuned in TUNED:
        compiler = subprocess.run(
            [*command, *OPTIONS, *tuned, "-o", str(built), str(source), "-lm"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        if compiler.returncode == 0:
            return
    reason = (
        compiler.stderr.strip().splitlines() or [f"it ended with status {compiler.returncode}"]
    )[0]
    raise NotCompiledError(f"{command[0]}: {reason}")


def _keep(built: Path, cached_file: Path) -> None:
    """Put a library where later processes look; where that cannot be, they compile it again."""
    with suppress(OSError):
        cached_file.parent.mkdir(parents=True, exist_ok=True)
        with replace_at_end(cached_file) as part:
            shutil.copyfile(built, part)


def _processor() -> str:
    """Return what the processor can do, in words: code for one may not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return platform.machine() + "".join(sorted({x for x in lines if x.startswith(ABOUT_PROCESSOR)}))
