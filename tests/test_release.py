"""What a release is made of fits together: version, citation, image and workflows."""

import json
import re
import shutil
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

import neurondb

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
INSTRUCTIONS = {
    *("FROM", "WORKDIR", "COPY", "RUN", "LABEL", "ARG", "USER", "ENV", "VOLUME", "EXPOSE"),
    *("ENTRYPOINT", "CMD"),
}


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def extras() -> set[str]:
    return set(tomllib.loads(text("pyproject.toml"))["project"]["optional-dependencies"])


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions and what they are given, comments and line ends gone."""
    lines = [line for line in text("Dockerfile").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(name, given) for name, given in found]


# --- versions ----------------------------------------------------------------------------------


def test_citation_and_changelog_name_this_version() -> None:
    citation = yaml.safe_load(text("CITATION.cff"))
    assert citation["version"] == neurondb.__version__
    assert {"cff-version", "message", "title", "authors", "license"} <= set(citation)
    newest = re.findall(r"^## (\S+) - (.+)$", text("CHANGELOG.md"), re.MULTILINE)[0]
    assert newest[0] == neurondb.__version__
    assert re.fullmatch(r"Unreleased|\d{4}-\d\d-\d\d", newest[1])


# --- the image ---------------------------------------------------------------------------------


def test_the_dockerfile_is_one() -> None:
    names = [name for name, _ in instructions()]
    assert names[0] == "FROM"
    assert set(names) <= INSTRUCTIONS
    for name, given in instructions():
        if name in ("ENTRYPOINT", "CMD", "VOLUME"):
            assert all(isinstance(word, str) for word in json.loads(given)), name
        if name == "FROM":
            assert re.match(r"python:3\.\d+-slim-\w+(?: AS \w+)?$", given)  # no moving tag


def test_the_image_runs_as_nobody_special_and_starts_the_site() -> None:
    given = dict(instructions())  # the last of each
    assert given["USER"] == "neurondb"
    assert "useradd" in given["RUN"]
    assert json.loads(given["ENTRYPOINT"]) == ["neurondb"]
    command, *options = json.loads(given["CMD"])
    assert command == "serve"
    help_text = text("docs/cli.md").split("## neurondb serve\n")[1].split("\n## ")[0]
    assert all(option in help_text for option in options if option.startswith("--"))
    assert given["EXPOSE"] in options


def test_the_image_installs_extras_that_there_are() -> None:
    (named,) = re.findall(r"\$wheel\[([\w,]+)\]", text("Dockerfile"))
    assert set(named.split(",")) <= extras() - {"dev", "docs"}


def test_what_the_wheel_is_built_from_is_in_the_context() -> None:
    lines = text(".dockerignore").splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    project = tomllib.loads(text("pyproject.toml"))
    wanted = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"])
    wanted |= {"pyproject.toml", "constraints.txt", project["project"]["readme"], "LICENSE"}
    assert kept == wanted
    assert "*" in lines
    copied = {given.split()[0] for name, given in instructions() if name == "COPY"} - {"."}
    assert all(any(fnmatch(name, pattern) for pattern in kept) for name in copied)


@pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not installed")
def test_docker_has_nothing_to_say_about_it() -> None:
    if subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
        pytest.skip("no docker daemon runs")
    command = ["docker", "build", "--check", str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# --- workflows ---------------------------------------------------------------------------------


def steps(workflow: Any) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_every_python_that_the_package_names_is_tested() -> None:
    prefix = "Programming Language :: Python :: "
    named = tomllib.loads(text("pyproject.toml"))["project"]["classifiers"]
    versions = [one.removeprefix(prefix) for one in named if one.startswith(prefix)]
    jobs = yaml.safe_load(text(".github/workflows/test.yml"))["jobs"].values()
    tried = [job["strategy"]["matrix"]["python"] for job in jobs if "strategy" in job]
    assert tried
    assert all(pythons == versions for pythons in tried)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_actions_are_pinned_to_commits(file: Path) -> None:
    workflow = yaml.safe_load(file.read_text(encoding="utf-8"))
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used
    assert [name for name in used if not re.search(r"@[0-9a-f]{40}$", name)] == []
    for line in re.findall(r"uses: .*", file.read_text(encoding="utf-8")):
        assert re.search(r" # v\d+\.\d+\.\d+$", line), line
    assert workflow["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


def test_one_action_is_one_commit_everywhere() -> None:
    found = {line for file in WORKFLOWS for line in re.findall(r"uses: (.*)", file.read_text())}
    assert len(found) == len({line.partition("@")[0] for line in found})


def test_a_release_is_signed_and_needs_no_password() -> None:
    workflow = yaml.safe_load(text(".github/workflows/release.yml"))
    assert "secrets." not in text(".github/workflows/release.yml")
    for name in ("publish", "image"):
        job = workflow["jobs"][name]
        assert job["permissions"]["id-token"] == job["permissions"]["attestations"] == "write"
        used = [step.get("uses", "").partition("@")[0] for step in job["steps"]]
        assert "actions/attest-build-provenance" in used
    assert workflow["jobs"]["publish"]["environment"] == "pypi"


def test_every_extra_is_installed_on_every_python() -> None:
    matrix = yaml.safe_load(text(".github/workflows/test.yml"))["jobs"]["install"]["strategy"]
    assert set(matrix["matrix"]["extra"]) == extras() - {"dev", "docs"} | {""}
    assert matrix["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    script = text(".ci/install")
    for extra in extras() - {"dev", "docs"}:
        assert re.search(rf"^    {extra}\) ", script, re.MULTILINE), extra
