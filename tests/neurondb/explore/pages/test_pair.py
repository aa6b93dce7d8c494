"""The page of two neurons: each side says what the records say."""

from tests.neurondb.explore.site_client import Site
from tests.support.sample_facts import Sample

LLAMA = "sample-llama"


def test_two_neurons_stand_side_by_side(site: Site, sample: Sample) -> None:
    page = site.get(f"/pair.json?left={LLAMA}/1.3&right=sample-gpt/2.5").json
    left, right = page["sides"]

    for side, row in (
        (left, sample.named(LLAMA, "1.3")),
        (right, sample.named("sample-gpt", "2.5")),
    ):
        assert side["identity"]["in_norm"] == row["in_norm"]
        assert side["verdict"]["read_write"]["name"] == row["class"]
        assert {one["pair"]: one["value"] for one in side["cosines"]}["in_out"] == row["in_out"]
    assert page["between"] is None
