"""What a request makes of its stages, and which requests make no sense."""

import io
import subprocess
import sys
import threading
from typing import Any

import pytest

from neurondb.errors import UsageError
from neurondb.jobs import IngestRequest, wanted_stages
from neurondb.jobs.loading import loading


def stages(**asked: Any) -> list[str]:
    return wanted_stages(IngestRequest(model="m", **asked))


def test_all_that_the_inputs_allow_but_never_the_traces() -> None:
    assert stages() == ["weights", "vocab"]
    assert stages(dataset="t.txt") == ["weights", "vocab", "activations"]


def test_weights_come_with_the_stages_that_need_them() -> None:
    assert stages(stages=("traces",), dataset="t.txt") == ["weights", "traces"]
    assert stages(stages=("traces", "activations"), dataset="t.txt") == [
        "weights",
        "activations",
        "traces",
    ]


def test_a_shard_leaves_the_vocabulary_to_others() -> None:
    assert stages(shard=(1, 2), dataset="t.txt") == ["weights", "activations"]
    assert stages(shard=(1, 2), dataset="t.txt", stages=("vocab", "activations")) == [
        "weights",
        "vocab",
        "activations",
    ]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"stages": ("wieghts",)}, "no stage 'wieghts'"),
        ({"stages": ("activations",)}, "activations needs texts; give --dataset"),
        ({"stages": ("traces",)}, "traces needs texts; give --dataset"),
        ({"shard": (1, 2)}, "activations needs texts; give --dataset"),
        ({"shard": (1, 2), "dataset": "t", "stages": ("vocab",)}, "--shard divides"),
        ({"shard": (1, 2), "dataset": "t", "stages": ("activations", "traces")}, "no traces"),
        ({"where": "weakening", "dataset": "t"}, "--where restricts the stage traces"),
        ({"summary": "s", "dataset": "t"}, "--summary .* give --shard"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        stages(**asked)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "job_name", "imported", "said"),
    [
        (_Terminal(), "ablate", False, True),
        (_Terminal(), "split", False, False),
        (_Terminal(), "ablate", True, False),
        (io.StringIO(), "ablate", False, False),
    ],
)
def test_a_terminal_is_told_at_once_what_is_being_loaded(
    monkeypatch: pytest.MonkeyPatch,
    stream: io.StringIO,
    job_name: str,
    imported: bool,
    said: bool,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stream)
    if imported:
        monkeypatch.setitem(sys.modules, "torch", object())
    else:
        monkeypatch.delitem(sys.modules, "torch", raising=False)
    with loading(job_name):
        inside = stream.getvalue()
    assert ("Loading PyTorch" in inside) is said
    if not said:
        assert stream.getvalue() == ""


def test_a_thread_of_a_server_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = _Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.delitem(sys.modules, "torch", raising=False)

    def load() -> None:
        with loading("ablate"):
            pass

    thread = threading.Thread(target=load)
    thread.start()
    thread.join()
    assert stream.getvalue() == ""


@pytest.mark.parametrize("name", ["split", "demo"])
def test_jobs_of_which_nothing_is_said_import_no_torch(name: str) -> None:
    code = f"from neurondb.jobs import job; import sys; job({name!r})"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
