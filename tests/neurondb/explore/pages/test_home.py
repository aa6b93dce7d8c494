"""The first page: its models, and that its examples find something."""

from collections import Counter

from tests.neurondb.explore.site_client import Site
from tests.support.sample_facts import Row, Sample

LLAMA, GPT = "sample-llama", "sample-gpt"


def of(sample: Sample, model: str = LLAMA) -> list[Row]:
    return [row for row in sample.neurons if row["model"] == model]


def test_home_counts_the_classes_of_every_model(site: Site, sample: Sample) -> None:
    models = {one["model"]["name"]: one for one in site.get("/index.json").json["models"]}

    assert models.keys() == {LLAMA, GPT}
    for name, one in models.items():
        counts = {share["class_name"]: share["n"] for share in one["classes"]}
        assert counts == Counter(row["class"] for row in of(sample, name))


def test_every_example_on_the_first_page_finds_something(site: Site) -> None:
    home = site.get("/").page
    examples = [link for link in home.links if link.startswith("/search?q=")]

    assert len(examples) >= 4
    for address in examples:
        answer = site.get(address)
        while answer.status == 302:
            answer = site.get(answer.headers["location"])
        assert answer.status == 200, address
        assert "No neuron matches" not in answer.text, address
