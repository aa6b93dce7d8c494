"""The compiled library: built by the system's C compiler at first use, kept for later processes.

Compiling takes a second or two, once for each machine and version; it begins when somebody says
that it will be needed and goes on beside what comes before.
"""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from platformdirs import user_cache_path

SOURCE: Final = Path(__file__).with_name("sweep.c")
COMPILERS: Final = ("cc", "gcc", "clang")
OPTIONS: Final = ("-O2", "-std=gnu11", "-fPIC", "-shared", "-w")
TUNED: Final = (("-march=native",), ("-mcpu=native",), ())
"""For this very processor: one way or the other, as the compiler knows it, or not at all."""


class NotCompiledError(Exception):
    """There is no library, for the reason that it says in one line."""


class _Building:
    """A library that is there already, or is being compiled by a process of its own."""

    def __init__(self, command: list[str], path: Path) -> None:
        self._command, self._path = command, path
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._tuned = list(TUNED)
        if not path.exists():
            self._scratch = tempfile.TemporaryDirectory()
            self._begin()

    def _begin(self) -> None:
        assert self._scratch is not None
        built = str(Path(self._scratch.name) / "sweep.so")
        options = [*OPTIONS, *self._tuned.pop(0)]
        try:
            self._process = subprocess.Popen(
                [*self._command, *options, "-o", built, str(SOURCE), "-lm"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise NotCompiledError(f"{self._command[0]}: {error.strerror}") from error

    def loaded(self) -> ctypes.CDLL:
        """Return the library once it is there."""
        if self._scratch is None:
            return _load(self._path)
        with self._scratch:
            _, said = self._process.communicate()
            while self._process.returncode != 0:
                if not self._tuned:
                    lines = said.strip().splitlines() or [f"status {self._process.returncode}"]
                    raise NotCompiledError(f"{self._command[0]} failed: {lines[0]}")
                self._begin()
                _, said = self._process.communicate()
            built = Path(self._scratch.name) / "sweep.so"
            library = _load(built)
            _keep(built, self._path)
        return library


def _load(path: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise NotCompiledError(str(error)) from error


def _keep(built: Path, path: Path) -> None:
    """Put a library where later processes look; where that cannot be, they compile it again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.{os.getpid()}")
        shutil.copyfile(built, beside)
        beside.replace(path)
    except OSError:
        return


def _compiler() -> list[str]:
    named = os.environ.get("CC")
    if named:
        return shlex.split(named)
    for name in COMPILERS:
        if shutil.which(name):
            return [name]
    raise NotCompiledError(f"no C compiler here ({', '.join(COMPILERS)}; CC names another)")


def _processor() -> str:
    """Return what the processor can do, in words: code for one may not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    words = ("model name", "flags", "Features", "CPU part")
    return platform.machine() + "".join(sorted({x for x in lines if x.startswith(words)}))


@cache
def _building() -> _Building | NotCompiledError:
    try:
        command = _compiler()
        about = f"{command} {OPTIONS} {TUNED} {_processor()}".encode()
        name = hashlib.sha256(about + SOURCE.read_bytes()).hexdigest()[:16]
        return _Building(command, user_cache_path("neurondb") / "compiled" / f"sweep-{name}.so")
    except NotCompiledError as error:
        return error


def prepare() -> None:
    """Begin to compile the library, if need be, beside what comes next."""
    _building()


@cache
def _loaded() -> ctypes.CDLL | NotCompiledError:
    building = _building()
    try:
        return building if isinstance(building, NotCompiledError) else building.loaded()
    except NotCompiledError as error:
        return error


def library() -> ctypes.CDLL:
    """Return the library, waiting for the compiler where need be.

    Raises:
        NotCompiledError: There is no compiler, or it fails.
    """
    found = _loaded()
    if isinstance(found, NotCompiledError):
        raise found
    return found
