"""Jobs are found by name, and a terminal shows that one is being loaded."""

import io
import subprocess
import sys
import threading

import pytest

from neurondb.contracts.registry import LOADING_MESSAGE, load_job, show_loading
from neurondb.errors import NeuronDBError


def test_a_job_that_nobody_installed_is_refused_by_name() -> None:
    with pytest.raises(NeuronDBError, match="'fly'"):
        load_job("fly")


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
    with show_loading(job_name):
        inside = stream.getvalue()
    assert (LOADING_MESSAGE in inside) is said
    if not said:
        assert stream.getvalue() == ""


def test_a_thread_of_a_server_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = _Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.delitem(sys.modules, "torch", raising=False)

    def load() -> None:
        with show_loading("ablate"):
            pass

    thread = threading.Thread(target=load)
    thread.start()
    thread.join()
    assert stream.getvalue() == ""


@pytest.mark.parametrize("name", ["split", "demo"])
def test_jobs_of_which_nothing_is_said_import_no_torch(name: str) -> None:
    code = f"from neurondb.contracts.registry import load_job; import sys; load_job({name!r})"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
