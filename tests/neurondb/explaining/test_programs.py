"""Programs are given JSON and answer, or what went wrong with them is said in a line."""

import threading
import time
from pathlib import Path

import pytest

from neurondb.contracts.explain import Trouble
from neurondb.errors import NeuronDBError, UsageError
from neurondb.explaining import programs
from neurondb.explaining.programs import Function, Program


def ask(command: str, given: bytes = b"{}\n", timeout: float = 20) -> tuple[str, Trouble | None]:
    reply = Program(command, shell=True, timeout=timeout).ask(given)
    assert reply.seconds >= 0
    return reply.text, reply.trouble


def test_what_is_printed_comes_back() -> None:
    assert ask("cat", '{"a": "é"}\n'.encode()) == ('{"a": "é"}\n', None)
    assert Program("printf '%s|' 'a b' $HOME").ask(b"").text == "a b|$HOME|"


def test_more_than_a_pipe_holds_goes_in_and_out() -> None:
    given = b"x" * 900_000
    assert ask("cat", given) == (given.decode(), None)
    assert ask("echo unread", given) == ("unread\n", None)


@pytest.mark.parametrize(
    ("command", "reason", "message"),
    [
        ("exit 3", "failed", "exit status 3"),
        ("echo said; echo 'no  key' >&2; echo >&2; exit 1", "failed", "exit status 1: no key"),
        ("kill -TERM $$", "failed", "ended by SIGTERM"),
        (r"printf 'a\377'", "invalid", "byte 1 of what it printed is not UTF-8"),
    ],
)
def test_what_goes_wrong_is_said(command: str, reason: str, message: str) -> None:
    assert ask(command) == ("", Trouble(reason, message))


def test_a_program_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    started = time.perf_counter()
    late = tmp_path / "late"
    text, trouble = ask(f"(sleep 2; touch {late}) & wait", timeout=0.2)
    assert (text, trouble) == ("", Trouble("timeout", "no answer within 0.2 s"))
    assert time.perf_counter() - started < 2
    time.sleep(2.2)
    assert not late.exists()


def test_a_program_that_prints_too_much_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "MOST_OUTPUT", 100_000)
    assert ask("yes") == ("", Trouble("too long", "it printed more than 100,000 bytes"))


def test_a_child_that_lives_on_does_not_keep_the_answer() -> None:
    started = time.perf_counter()
    assert ask("sleep 3 & echo done")[0] == "done\n"
    assert time.perf_counter() - started < 3


def test_a_program_that_cannot_be_started_says_so(tmp_path: Path) -> None:
    file = tmp_path / "broken"
    file.write_bytes(b"\x7fELF no program")
    file.chmod(0o755)
    trouble = Program(str(file)).ask(b"").trouble
    assert trouble is not None
    assert trouble.reason == "not started"


@pytest.mark.parametrize(
    ("command", "error"), [("", UsageError), ("'", UsageError), ("nowhere-2 x", NeuronDBError)]
)
def test_what_is_no_program_is_refused_at_once(command: str, error: type[Exception]) -> None:
    with pytest.raises(error, match="command"):
        Program(command)


def test_what_runs_is_ended_and_nothing_more_is_started() -> None:
    program = Program("sleep 20")
    stopping = threading.Timer(0.2, program.stop)
    stopping.start()
    started = time.perf_counter()
    for _ in range(2):
        assert program.ask(b"").trouble == Trouble("failed", "ended by SIGKILL")
    assert time.perf_counter() - started < 10
    stopping.join()


def test_a_function_stands_in_for_a_program() -> None:
    def explain(given: dict[str, int]) -> object:
        return {1: "a text", 2: {"explanation": "x"}, 3: None}[given["a"]]

    function = Function(explain)
    assert function.command == "explain"
    assert [function.ask(b'{"a": %d}' % i).text for i in (1, 2, 3)] == [
        "a text",
        '{"explanation": "x"}',
        "",
    ]
    assert function.ask(b'{"a": 4}').trouble == Trouble("failed", "KeyError: 4")
