"""The panel of the neuron page by frequent token, where the dataset has such statistics."""

from neurondb.formatting.numbers import format_compact
from neurondb.schema import codes
from tests.neurondb.explore.site_client import Site, looks_right
from tests.support.sample_facts import WIDTH, Sample

KEY = 2 * WIDTH
ADDRESS = "/neuron/sample-llama/2.0"


def test_statistics_by_token_are_shown_where_there_are_any(site: Site, sample: Sample) -> None:
    stored = [one for one in sample.token_stats if one["neuron_id"] == KEY]
    page = looks_right(site.get(ADDRESS))
    found = site.get(f"{ADDRESS}.json").json["token_stats"]
    assert [one["place"] for one in found] == list(codes.TOKEN_STAT_PLACES)
    for code, one in enumerate(found):
        expected = [row for row in stored if row["place_id"] == code]
        assert len(one["tokens"]) == len(expected) == 3
        for token, row in zip(one["tokens"], expected, strict=True):
            assert {name: row[name] for name in token if name != "token"} | {
                "token": token["token"]
            } == token
            assert f"/token/sample-llama/{token['token_id']}" in page.links
            assert format_compact(token["mean"]) in page.text
    for heading in ("By token", "At the token", "Just after it", "Just before it"):
        assert heading in page.text
    without = looks_right(site.get("/neuron/sample-llama/2.1"))
    assert "Just after it" not in without.text
    assert site.get("/neuron/sample-llama/2.1.json").json["token_stats"] == []
