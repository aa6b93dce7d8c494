"""All that is to be measured on a GPU, section by section, in one report.

    sh benchmarks/gpu.sh
    python -m benchmarks.gpu --out gpu-report
    python -m benchmarks.gpu --out gpu-report --only activations-8b vocabulary-8b
    python -m benchmarks.gpu --out gpu-report --device cpu --tiny

Every section is a process of its own with a time limit of its own, so that one that fails, or runs
out of memory or time, stops no other; all of them together end within `--minutes`. Weights are
random, made on the card, and never written. `--tiny` runs the same code on tiny shapes in seconds.
Writes report.md and report.json; the exit status is the number of sections that failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
SECTIONS: Final = {
    "vocabulary-8b": 75,
    "activations-8b": 150,
    "lm-head-8b": 40,
    "reduction": 90,
    "waits": 50,
    "activations-1b": 90,
    "vocabulary-1b": 40,
    "tests": 240,
}
"""What is measured, what matters most first, and how many seconds each may take: all but the tests
have room together, and those take what is left."""
TITLES: Final = {
    "vocabulary-8b": "Vocabulary stage over its products, Llama 3.1 8B's shape",
    "activations-8b": "Activation pass over the bare forward pass, Llama 3.1 8B's shape",
    "lm-head-8b": "Decoding the LM head, Llama 3.1 8B's shape",
    "reduction": "The compiled reduction against the plain one, bfloat16",
    "waits": "Waits for the device in an activation pass",
    "activations-1b": "Activation pass over the bare forward pass, Llama 3.2 1B's shape",
    "vocabulary-1b": "Vocabulary stage over its products, Llama 3.2 1B's shape",
    "tests": "Tests with the marker `gpu`",
}


class Outcome(NamedTuple):
    """What came of a section."""

    name: str
    status: str
    """`ok`, `failed`, `out of time` or `skipped`."""
    seconds: float
    figures: dict[str, Any]
    problem: str

    @property
    def has_failed(self) -> bool:
        """Whether it counts as a failure."""
        return self.status not in ("ok", "skipped")


def run_section(name: str, asked: argparse.Namespace, limit: float) -> Outcome:
    """Run a section in a process of its own; at the limit it is ended."""
    if limit <= 0:
        return Outcome(name, "out of time", 0.0, {}, "the sections before took all of the time")
    path = Path(asked.out) / f"{name}.json"
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.gpu_sections", name, str(path)]
    command += ["--device", asked.device, *(["--tiny"] if asked.tiny else [])]
    started = time.perf_counter()
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=limit,
        )
    except subprocess.TimeoutExpired as expired:
        # On POSIX they are bytes, whatever was asked for.
        tail = _tail((expired.stdout or b"").decode(errors="replace"))
        figures = _read(path)
        return Outcome(name, "out of time", limit, figures, f"after {limit:.0f} s\n{tail}")
    took, figures = time.perf_counter() - started, _read(path)
    problem = figures.pop("problem", "")
    if done.returncode or problem:
        return Outcome(name, "failed", took, figures, problem or _tail(done.stdout))
    return Outcome(name, "skipped" if figures.pop("skipped", None) else "ok", took, figures, "")


def _read(path: Path) -> dict[str, Any]:
    try:
        figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # it ended before it had any
        return {}
    return figures


def _tail(text: str, n_lines: int = 15) -> str:
    return "\n".join(text.strip().splitlines()[-n_lines:])


def write_markdown(machine: dict[str, Any], outcomes: list[Outcome]) -> str:
    """Return the report as a page of Markdown."""
    lines = ["# NeuronDB on a GPU", ""]
    lines += [f"- {name}: {value}" for name, value in machine.items()]
    lines += ["", "| section | outcome | seconds |", "|---|---|---|"]
    lines += [f"| {o.name} | {o.status} | {o.seconds:.0f} |" for o in outcomes]
    for outcome in outcomes:
        lines += ["", f"## {TITLES[outcome.name]}", ""]
        if outcome.figures:
            lines += ["| | |", "|---|---|"]
            lines += [f"| {name} | {_format(value)} |" for name, value in outcome.figures.items()]
        if outcome.problem:
            lines += ["", "```", outcome.problem, "```"]
        if outcome.status == "skipped":
            lines += ["Skipped: it needs a GPU."]
    return "\n".join(lines) + "\n"


def _format(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def describe_machine(device: str) -> dict[str, Any]:
    """Return the card and the versions that the figures are of, asked for in another process."""
    code = (
        "import json, platform, torch\n"
        "cuda = torch.cuda.is_available()\n"
        "print(json.dumps({'card': torch.cuda.get_device_name() if cuda else 'none',"
        " 'memory of the card, GiB': torch.cuda.get_device_properties(0).total_memory / 2**30"
        " if cuda else 0.0, 'torch': torch.__version__, 'CUDA': torch.version.cuda,"
        " 'Python': platform.python_version()}))"
    )
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    found: dict[str, Any] = {"torch": _tail(asked.stderr, 1)}
    if not asked.returncode:
        found = json.loads(asked.stdout.strip().splitlines()[-1])
    return {"date": time.strftime("%d %B %Y"), "device": device, **found}


def main() -> int:
    """Run the sections, write the report, and return how many failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder of the report")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--minutes", type=float, default=9.5, help="that all may take together")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny shapes: does the script work?")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    asked.out = asked.out.resolve()
    end = time.perf_counter() + 60 * asked.minutes
    machine = describe_machine(asked.device)
    outcomes: list[Outcome] = []
    page = write_markdown(machine, outcomes)
    for name in SECTIONS:
        if name not in asked.only:
            continue
        left = end - time.perf_counter()
        outcome = run_section(name, asked, min(left, SECTIONS[name]))
        outcomes.append(outcome)
        print(f"{name}: {outcome.status}, {outcome.seconds:.0f} s", flush=True)
        for figure, value in outcome.figures.items():
            print(f"  {figure}: {_format(value)}", flush=True)
        # After each, so that there is a report whatever ends this.
        page = write_markdown(machine, outcomes)
        (asked.out / "report.md").write_text(page, encoding="utf-8")
        report = {"machine": machine, "sections": [o._asdict() for o in outcomes]}
        (asked.out / "report.json").write_text(json.dumps(report, indent=2), encoding="utf-8")
    print(page)
    return sum(outcome.has_failed for outcome in outcomes)


if __name__ == "__main__":
    sys.exit(main())
