"""Where a search leads."""

from urllib.parse import quote

import pytest

from tests.neurondb.explore.site_client import Site

LLAMA, GPT = "sample-llama", "sample-gpt"


@pytest.mark.parametrize(
    ("asked", "leads_to"),
    [
        ("sample-llama 0.5", "/neuron/sample-llama/0.5"),
        ("sample-llama/0.5", "/neuron/sample-llama/0.5"),
        ("SAMPLE-LLAMA  3.63 ", "/neuron/sample-llama/3.63"),
        ("sample-gpt", "/model/sample-gpt"),
        ("sample-llama ' dog'", "/token/sample-llama/0"),
        ("sample-llama #3", "/token/sample-llama/3"),
        ("' only-gpt'", "/token/sample-gpt/26"),
        ("only-gpt", "/token/sample-gpt/26"),
        ("weakening 0.5", "/find?q=weakening%200.5"),
        ("cond-weak or freq>0.5", "/find?q=cond-weak%20or%20freq%3E0.5"),
        ("promotes=' dog'", "/find?q=promotes%3D%27%20dog%27"),
        ("", "/"),
    ],
)
def test_a_search_leads_to_what_it_means(site: Site, asked: str, leads_to: str) -> None:
    answer = site.get(f"/search?q={quote(asked)}")

    assert (answer.status, answer.headers["location"]) == (302, leads_to)


def test_a_search_with_several_meanings_shows_them(site: Site) -> None:
    neuron = site.get("/search.json?q=0.5").json["options"]
    token = site.get("/search.json?q=%27%20dog%27").json["options"]

    assert [one["model"] for one in neuron] == [GPT, LLAMA]
    assert [one["address"] for one in token] == ["/token/sample-gpt/25", "/token/sample-llama/0"]
