"""Names become directories; the hub's failures, raised by its own classes, become one line."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors

from ingest.checkpoint.hub import ADVICE, locate_model
from neurondb.errors import HubError, ModelError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SAFE = ["README.md", "config.json", "model.safetensors", "pytorch_model.bin", "tokenizer.json"]


class Hub:
    """The network's edge: what the hub answers, and what was asked of it."""

    def __init__(self, snapshot: Path) -> None:
        self.snapshot = snapshot
        self.files: list[str] | Exception = SAFE
        self.download: Exception | None = None
        self.cached = False
        self.asked: list[dict[str, Any]] = []

    def model_info(self, repo_id: str, **_: Any) -> SimpleNamespace:
        if isinstance(self.files, Exception):
            raise self.files
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in self.files])

    def snapshot_download(self, repo_id: str, **options: Any) -> str:
        self.asked.append({"repo_id": repo_id, **options})
        if options.get("local_files_only") and not self.cached:
            raise errors.LocalEntryNotFoundError("not in the cache")
        if self.download is not None and not options.get("local_files_only"):
            raise self.download
        return str(self.snapshot)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    snapshot = tmp_path / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").touch()
    fake = Hub(snapshot)
    monkeypatch.setattr(
        huggingface_hub.HfApi,
        "model_info",
        lambda self, repo_id, **asked: fake.model_info(repo_id, **asked),
    )
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.snapshot_download)
    monkeypatch.chdir(tmp_path)
    return fake


def response(status: int) -> Any:
    """A response of whichever HTTP library this huggingface_hub speaks through."""
    import importlib

    library = importlib.import_module(errors.HfHubHTTPError.__mro__[1].__module__.split(".")[0])
    request = library.Request("GET", "https://huggingface.co/api/models/owner/name")
    return library.Response(status, request=request)


def http(kind: type[errors.HfHubHTTPError], status: int) -> Exception:
    return kind(f"{status} from the hub\nfor url", response=response(status))


def connect_error() -> Exception:
    import importlib

    module = errors.HfHubHTTPError.__mro__[1].__module__.split(".")[0]
    failure: Exception = importlib.import_module(module).ConnectError("no route to host")
    return failure


def test_a_directory_is_taken_as_it_is(tmp_path: Path, hub: Hub) -> None:
    (tmp_path / "My Model_v1").mkdir()
    found = locate_model("My Model_v1")
    assert found.path == tmp_path / "My Model_v1"
    assert found.source == str(found.path)
    assert found.revision is None
    assert found.slug == "my-model_v1"
    assert hub.asked == []


def test_a_directory_goes_before_a_known_name_and_a_hub_id(tmp_path: Path, hub: Hub) -> None:
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert locate_model("gpt2").revision is None
    assert locate_model("owner/name").path == tmp_path / "owner" / "name"
    assert hub.asked == []


@pytest.mark.parametrize("path", ["./absent", "/absent", "~/absent-9431", "a/b/c"])
def test_a_path_that_is_absent_says_so(hub: Hub, path: str) -> None:
    shown = re.escape(str(Path(path).expanduser()))
    with pytest.raises(ModelError, match=f"directory .*{shown}"):
        locate_model(path)
    assert hub.asked == []


@pytest.mark.parametrize(
    ("name", "hub_id", "slug"),
    [
        ("llama-3.2-3b", "meta-llama/Llama-3.2-3B", "llama-3.2-3b"),
        ("GPT2", "openai-community/gpt2", "gpt2-small"),
        ("meta-llama/Llama-3.2-3B", "meta-llama/Llama-3.2-3B", "llama-3.2-3b"),
        ("owner/My_Model.v2", "owner/My_Model.v2", "my_model.v2"),
    ],
)
def test_known_names_and_hub_ids_are_downloaded(
    hub: Hub, name: str, hub_id: str, slug: str
) -> None:
    found = locate_model(name, revision="main")
    assert (found.source, found.slug, found.path) == (hub_id, slug, hub.snapshot)
    assert found.revision == COMMIT
    assert hub.asked[0]["repo_id"] == hub_id
    assert hub.asked[0]["revision"] == "main"


def test_an_unknown_word_names_its_nearest_neighbours(hub: Hub) -> None:
    with pytest.raises(ModelError) as caught:
        locate_model("lama-3.2-3b")
    text = str(caught.value)
    assert re.search(r"'lama-3\.2-3b'.* llama-3\.2-3b\b.* owner/name\b", text)
    assert "\n" not in text
    assert hub.asked == []


def test_pickles_are_downloaded_only_where_there_are_no_safetensors(hub: Hub) -> None:
    locate_model("owner/name")
    assert "model*.safetensors" in hub.asked[0]["allow_patterns"]
    assert not any(".bin" in pattern for pattern in hub.asked[0]["allow_patterns"])
    hub.files = ["config.json", "pytorch_model-00001-of-00002.bin", "onnx/model.safetensors"]
    locate_model("owner/name")
    assert "pytorch_model*.bin" in hub.asked[1]["allow_patterns"]
    assert not any("safetensors" in pattern for pattern in hub.asked[1]["allow_patterns"])


def test_a_repository_without_weights_is_refused(hub: Hub) -> None:
    hub.files = ["config.json", "model.gguf"]
    with pytest.raises(HubError, match=r"owner/name .*model\.safetensors.*model\.gguf"):
        locate_model("owner/name")


PAGE = "https://huggingface.co/owner/name"
FAILURES: dict[str, tuple[Callable[[], Exception], str]] = {
    "gated": (lambda: http(errors.GatedRepoError, 403), f"gated.*{PAGE}.*hf auth login"),
    "absent": (
        lambda: http(errors.RepositoryNotFoundError, 401),
        "repository owner/name.*hf auth login",
    ),
    "revision": (lambda: http(errors.RevisionNotFoundError, 404), f"v9.*{PAGE}/refs"),
    "disabled": (lambda: http(errors.DisabledRepoError, 403), "owner/name .*disabled"),
    "no token": (
        lambda: errors.LocalTokenNotFoundError("no token"),
        "needs .*hf auth login.*HF_TOKEN",
    ),
    "offline": (lambda: errors.OfflineModeIsEnabled("offline"), "owner/name .*HF_HUB_OFFLINE"),
    "not cached": (lambda: errors.LocalEntryNotFoundError("no"), "owner/name .*cache.*network"),
    "no network": (connect_error, r"owner/name \(no route to host\).*network"),
    "refused": (lambda: ConnectionRefusedError("refused"), r"owner/name \(refused\).*network"),
    "bad token": (
        lambda: http(errors.HfHubHTTPError, 401),
        "refused .*owner/name.*hf auth login.*HF_TOKEN",
    ),
    "forbidden": (lambda: http(errors.HfHubHTTPError, 403), f"token .*owner/name.*{PAGE}$"),
    "rate limit": (lambda: http(errors.HfHubHTTPError, 429), "limits .*hf auth login"),
    "server": (lambda: http(errors.HfHubHTTPError, 500), r"owner/name \(500 .*again"),
    "disk full": (lambda: OSError(errno.ENOSPC, "No space left on device"), "disk .*HF_HOME"),
    "read-only": (lambda: PermissionError(errno.EACCES, "denied"), r"\[Errno 13\] denied.*HF_HOME"),
    "transfer": (lambda: RuntimeError("xet failed"), r"owner/name .*\(xet failed\).*again"),
}


@pytest.mark.parametrize("when", ["listing", "downloading"])
@pytest.mark.parametrize("name", list(FAILURES))
def test_a_failure_of_the_hub_is_one_line_that_says_what_to_do(
    hub: Hub, name: str, when: str
) -> None:
    make, expected = FAILURES[name]
    if when == "listing":
        hub.files = make()
    else:
        hub.download = make()
    with pytest.raises(HubError) as caught:
        locate_model("owner/name", revision="v9")
    text = str(caught.value)
    assert re.search(expected, text)
    assert "\n" not in text


def test_every_advice_is_tried() -> None:
    raised = {class_.__name__ for make, _ in FAILURES.values() for class_ in type(make()).__mro__}
    assert set(ADVICE) <= raised


@pytest.mark.parametrize("name", ["offline", "no network", "rate limit", "server", "gated"])
def test_a_cached_model_works_without_the_hub(hub: Hub, name: str) -> None:
    hub.files = FAILURES[name][0]()
    hub.cached = True
    assert locate_model("owner/name").path == hub.snapshot
    assert hub.asked[0]["local_files_only"]


def test_a_cache_without_weights_does_not_count(hub: Hub) -> None:
    hub.files = connect_error()
    hub.cached = True
    (hub.snapshot / "model.safetensors").unlink()
    with pytest.raises(HubError, match=r"owner/name .*network"):
        locate_model("owner/name")


def test_a_malformed_hub_id_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here huggingface_hub itself judges, before it asks the network."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"'owner/na\.\.me'.* owner/name\b"):
        locate_model("owner/na..me")


def test_the_real_cache_is_found_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache as huggingface_hub lays it out, read by huggingface_hub."""
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "cache" / "models--owner--name"
    snapshot = home / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(COMMIT)
    (snapshot / "model.safetensors").touch()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    found = locate_model("owner/name")
    assert (found.path, found.revision) == (snapshot, COMMIT)
    with pytest.raises(HubError, match=r"owner/other .*HF_HUB_OFFLINE"):
        locate_model("owner/other")


def test_files_of_a_variant_are_not_the_weights(hub: Hub) -> None:
    """Transformers loads the pickle here, so that is what must be downloaded."""
    hub.files = ["config.json", "model.fp16.safetensors", "pytorch_model.bin"]
    locate_model("owner/name")
    assert "pytorch_model*.bin" in hub.asked[0]["allow_patterns"]
    assert "model*.safetensors" not in hub.asked[0]["allow_patterns"]


@pytest.mark.parametrize(
    ("file", "meaning"),
    [("q4.gguf", "GGUF"), ("adapter_model.safetensors", "PEFT"), ("model.onnx", "ONNX")],
)
def test_a_repository_of_something_else_is_called_that(hub: Hub, file: str, meaning: str) -> None:
    hub.files = ["config.json", file]
    with pytest.raises(HubError, match=f"owner/name .*{meaning}.*{re.escape(file)}"):
        locate_model("owner/name")


def test_whether_an_adapter_lies_beside_is_downloaded_too(hub: Hub) -> None:
    """Else it would depend on what else is in the cache whether it is seen."""
    locate_model("owner/name")
    assert "adapter_config.json" in hub.asked[0]["allow_patterns"]
