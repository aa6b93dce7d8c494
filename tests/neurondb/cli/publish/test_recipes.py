"""The recipes of docs/publishing fit the directory that `publish` writes."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from neurondb.explore.publishing import format_dockerfile
from tests.neurondb.cli.publish.command import refusal
from tests.support.sample_facts import Sample

DOCS = Path(__file__).parents[4] / "docs"
SPACE, FLY = DOCS / "publishing/space/README.md", DOCS / "publishing/fly.toml"

pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="not a checkout")


def find_port() -> int:
    """Return the port that the image listens on where nobody says another."""
    found = re.search(r"--port \$\{PORT:-(\d+)\}", format_dockerfile())
    assert found is not None
    return int(found[1])


def test_a_space_is_of_docker_and_has_the_images_port() -> None:
    front = yaml.safe_load(SPACE.read_text(encoding="utf-8").split("---\n")[1])
    assert (front["sdk"], front["app_port"]) == ("docker", find_port())
    assert {"title", "emoji", "colorFrom", "colorTo"} <= front.keys()
    assert len(front["short_description"]) <= 60


def test_fly_serves_the_images_port_and_asks_for_a_page_that_is_there() -> None:
    settings = tomllib.loads(FLY.read_text(encoding="utf-8"))
    assert settings["build"]["dockerfile"] == "Dockerfile"
    service = settings["http_service"]
    assert service["internal_port"] == int(settings["env"]["PORT"]) == find_port()
    assert [check["path"] for check in service["checks"]] == ["/-/versions.json"]


def test_a_copy_and_files_are_asked_for_apart(sample: Sample, tmp_path: Path) -> None:
    where = str(tmp_path / "out")
    assert "takes one of -o DIR" in refusal("--db", sample.url)
    assert "takes one of -o DIR" in refusal("--db", sample.url, "-o", where, "--static", where)
    for option in (["--where", "weakening"], ["--limit", "3"], ["--order", "freq"]):
        assert "give them with --static" in refusal("--db", sample.url, "-o", where, *option)
    said = refusal("--db", sample.url, "--static", where, "--where", "in_norm<0")
    assert said.startswith("no neuron fits 'in_norm<0'")
    assert list(tmp_path.iterdir()) == []
