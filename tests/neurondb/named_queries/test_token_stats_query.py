"""The named query for what a neuron does by frequent token."""

from sqlalchemy import Engine

from neurondb import named_queries
from neurondb.schema import codes
from tests.support.sample_facts import Sample


def test_token_stats_of_neuron(sample: Sample, sample_engine: Engine) -> None:
    given = {"model": "sample-llama", "layer": "1", "neuron": "0"}
    found = named_queries.run(sample_engine, "token-stats-of-neuron", given)
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    neuron = sample.named("sample-llama", "1.0")
    stored = [one for one in sample.token_stats if one["neuron_id"] == neuron["neuron_id"]]
    places = [codes.TOKEN_STAT_PLACES[one["place_id"]] for one in stored]
    expected = sorted(zip(places, stored, strict=True), key=lambda pair: pair[0])
    assert len(rows) == len(stored) == 9
    for row, (place, one) in zip(rows, expected, strict=True):
        assert (row["place"], row["mean_of_all"]) == (place, neuron["post_mean"])
        for name in ("rank", "token_id", "mean", "freq", "n"):
            assert row[name] == one[name]
