"""Digests of whole tensors: every byte is hashed once, by several threads, and remembered.

What was hashed is remembered beside the user's other caches, by the file's real path and what the
file system says of it, so that the next command finds it. A memory that is lost, damaged or cannot
be written only costs the time to hash again.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

import torch
from platformdirs import user_cache_path
from torch import Tensor

from neurondb.atomic import replace_at_end
from neurondb.errors import CheckpointError

LoadTensors = Callable[[Path, Iterable[str]], dict[str, Tensor]]
"""Maps the named tensors of a file."""

BLOCK_BYTES: Final = 1 << 20
"""Hashed at a time by a thread. A tensor's digest depends on it."""
GROUP_BYTES: Final = 16 << 20
"""Mapped at a time, so that never more of a file is in memory."""
MAX_THREADS: Final = 32
SETTLED_S: Final = 2.0
"""A younger file may change again without its times telling, and is not remembered."""
FORMAT_VERSION: Final = 1
"""The format of what is remembered of files; another number makes all of it forgotten."""


class Stamp(NamedTuple):
    """What a file system says of a file, which changes when the file does."""

    size: int
    mtime_ns: int
    inode: int
    device: int

    @classmethod
    def from_file(cls, file: Path) -> Stamp:
        """Return the stamp of a file, of its target where it is a link.

        Raises:
            CheckpointError: It is not there, or cannot be reached.
        """
        try:
            status = file.stat()
        except OSError as error:
            raise CheckpointError(f"{file} cannot be read ({error.strerror})") from error
        return cls(status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)


def refuse_changed(stamps: Mapping[Path, Stamp]) -> None:
    """Make sure that files are what they were when they were opened.

    Raises:
        CheckpointError: One is another than when its stamp was taken.
    """
    for file, stamp in stamps.items():
        if Stamp.from_file(file) != stamp:
            raise CheckpointError(
                f"{file} was changed while it was being read: run the command again"
            )


def hash_tensors(
    file: Path, stamp: Stamp, names: Iterable[str], load: LoadTensors
) -> dict[str, str]:
    """Return the digest (hex) of each tensor of a file: of its dtype, shape and every byte.

    It is the SHA-256 of dtype, shape and the SHA-256 of each block of 2²⁰ bytes, in their order.

    Args:
        file: The weight file.
        stamp: Its stamp when it was opened.
        names: All of its tensors.
        load: Maps some of them.

    Raises:
        CheckpointError: The file was changed, or cannot be read.
    """
    tensor_names = sorted(names)
    ctime_ns = file.stat().st_ctime_ns
    cache_file = _find_cache_file(file)
    remembered = _recall(cache_file, file, stamp, ctime_ns)
    if remembered is not None and sorted(remembered) == tensor_names:
        return remembered
    settled = time.time() - max(stamp.mtime_ns, ctime_ns) / 1e9 > SETTLED_S
    digests = _hash_in_blocks(file, tensor_names, load)
    refuse_changed({file: stamp})
    if settled:
        _remember(cache_file, file, stamp, ctime_ns, digests)
    return digests


class _Piece(NamedTuple):
    """A run of a tensor's bytes."""

    name: str
    start: int
    stop: int


def _hash_in_blocks(file: Path, names: list[str], load: LoadTensors) -> dict[str, str]:
    tensors = load(file, names)
    digests = {name: sha256(f"{t.dtype} {list(t.shape)} ".encode()) for name, t in tensors.items()}
    sizes = {name: tensor.nbytes for name, tensor in tensors.items()}
    del tensors
    with ThreadPoolExecutor(min(MAX_THREADS, _processors())) as pool:
        for group in _groups(sizes):
            flat = {
                name: tensor.reshape(-1).view(torch.uint8).numpy()
                for name, tensor in load(file, {piece.name for piece in group}).items()
            }
            # hashlib lets go of the interpreter's lock, so that threads hash at the same time.
            blocks = [flat[piece.name][piece.start : piece.stop] for piece in group]
            for piece, digest in zip(group, pool.map(_digest, blocks), strict=True):
                digests[piece.name].update(digest)
    return {name: digest.hexdigest() for name, digest in digests.items()}


def _digest(block: memoryview) -> bytes:
    return sha256(block).digest()


def _groups(sizes: Mapping[str, int]) -> Iterator[list[_Piece]]:
    """Yield the blocks of all tensors in their order, as many as are mapped at a time."""
    group: list[_Piece] = []
    for name, size in sizes.items():
        for start in range(0, size, BLOCK_BYTES):
            group.append(_Piece(name, start, min(start + BLOCK_BYTES, size)))
            if len(group) * BLOCK_BYTES >= GROUP_BYTES:
                yield group
                group = []
    if group:
        yield group


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def _find_cache_file(file: Path) -> Path:
    name = sha256(os.fsencode(file.resolve())).hexdigest()[:32]
    return user_cache_path("neurondb") / "digests" / f"{name}.json"


def _describe_file(file: Path, stamp: Stamp, ctime_ns: int) -> dict[str, object]:
    # Of the times, the one that a program cannot set says most.
    path = os.fsencode(file.resolve()).decode(errors="backslashreplace")
    return {"form": FORMAT_VERSION, "file": path, "stamp": [*stamp, ctime_ns]}


def _recall(cache_file: Path, file: Path, stamp: Stamp, ctime_ns: int) -> dict[str, str] | None:
    try:
        record = json.loads(cache_file.read_bytes())
        digests = record.pop("tensors")
        seal = record.pop("seal")
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    if record != _describe_file(file, stamp, ctime_ns) or seal != _seal(digests):
        return None
    return {str(name): str(digest) for name, digest in digests.items()}


def _remember(
    cache_file: Path, file: Path, stamp: Stamp, ctime_ns: int, digests: dict[str, str]
) -> None:
    content = {**_describe_file(file, stamp, ctime_ns), "tensors": digests, "seal": _seal(digests)}
    with contextlib.suppress(OSError):
        cache_file.parent.mkdir(parents=True, exist_ok=True)
        with replace_at_end(cache_file) as part:
            part.write_text(json.dumps(content))


def _seal(digests: object) -> str:
    """Return a checksum of what is remembered, by which a damaged file is told."""
    return sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
