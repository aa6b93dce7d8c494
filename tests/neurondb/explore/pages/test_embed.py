"""A neuron's card in other sites, and what they are told about it (https://oembed.com)."""

import asyncio
import html
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from neurondb.explore.server import Service
from tests.neurondb.explore.site_client import Site
from tests.support.sample_facts import Sample

HERE = "http://localhost"
"""Where Datasette's client asks."""
PAGE = f"{HERE}/neuron/sample-llama/2.0"


def ask(site: Site, url: str = PAGE, **options: str) -> Any:
    return site.get(f"/oembed?{urlencode({'url': url} | options)}")


def test_a_card_is_small_and_says_what_the_page_says(site: Site, sample: Sample) -> None:
    answer = site.get("/embed/sample-llama/2.0")
    page = answer.page
    assert answer.status == 200
    assert len(answer.body) < 6_000
    (facts,) = [n for n in sample.neurons if (n["model"], n["name"]) == ("sample-llama", "2.0")]
    assert "sample-llama 2.0" in page.text
    assert facts["class"] in page.text
    names = [tag for tag, _ in page.tags]
    assert not {"form", "script", "nav", "header"} & set(names)
    links = [given for tag, given in page.tags if tag == "a"]
    assert {one["href"] for one in links} == {"/neuron/sample-llama/2.0"}
    assert all(one["target"] == "_blank" and one["rel"] == "noopener" for one in links)


def test_cards_alone_may_be_framed(site: Site) -> None:
    policy = site.get("/embed/sample-llama/2.0").headers["content-security-policy"]
    assert "frame-ancestors *" in policy
    assert "script-src" not in policy
    assert "default-src 'none'" in policy
    assert "form-action 'none'" in policy
    addresses = ("/", "/neuron/sample-llama/2.0", "/lists", "/oembed", "/embed/nobody/2.0")
    for address in (*addresses, "/sample/models"):
        assert "frame-ancestors 'none'" in site.get(address).headers["content-security-policy"]


def test_a_card_sets_no_cookie_and_follows_a_theme(site: Site) -> None:
    answer = site.get("/embed/sample-llama/2.0?theme=dark")
    assert "set-cookie" not in answer.headers
    assert 'data-theme="dark"' in answer.text
    assert site.get("/embed/sample-llama/2.0?theme=red").status == 400
    assert site.get("/embed/sample-gpt/1.1").status == 200


def test_the_page_says_where_its_card_is_described(site: Site) -> None:
    links = [
        given for tag, given in site.get("/neuron/sample-llama/2.0").page.tags if tag == "link"
    ]
    (found,) = [one for one in links if one.get("type") == "application/json+oembed"]
    assert found["rel"] == "alternate"
    described = site.get(str(found["href"]).removeprefix(HERE)).json
    assert described["title"] == "sample-llama 2.0"


def test_an_answer_has_what_the_specification_requires_of_rich_content(site: Site) -> None:
    answer = ask(site)
    said = answer.json
    assert answer.headers["content-type"].startswith("application/json")
    assert (said["version"], said["type"]) == ("1.0", "rich")
    assert (said["width"], said["height"]) == (480, 300)
    assert (said["provider_name"], said["provider_url"]) == ("NeuronDB", f"{HERE}/")
    assert f'src="{HERE}/embed/sample-llama/2.0"' in said["html"]
    assert 'width="480" height="300"' in said["html"]
    assert "<script" not in said["html"]


def test_a_frame_is_never_larger_than_asked(site: Site) -> None:
    said = ask(site, maxwidth="320", maxheight="9999").json
    assert (said["width"], said["height"]) == (320, 300)
    assert 'width="320" height="300"' in said["html"]
    assert ask(site, maxwidth="0").status == 400


@pytest.mark.parametrize(
    ("url", "options", "status"),
    [
        (PAGE, {"format": "xml"}, 501),
        ("", {}, 400),
        ("http://elsewhere.example/neuron/sample-llama/2.0", {}, 404),
        (f"{HERE}/layer/sample-llama/2", {}, 404),
        (f"{HERE}/neuron/nobody/2.0", {}, 404),
        (f"{HERE}/neuron/sample-llama/99.0", {}, 404),
        ("javascript:alert(1)", {}, 404),
        ("http://[", {}, 404),
    ],
)
def test_what_is_not_there_is_said_in_json(
    site: Site, url: str, options: dict[str, str], status: int
) -> None:
    answer = ask(site, url, **options)
    assert answer.status == status
    assert "\n" not in answer.json["error"]


def test_no_address_gets_out_of_the_attribute_it_stands_in(site: Site) -> None:
    evil = '"><script>alert(1)</script>'
    said = ask(site, f"{PAGE}?dataset={quote(evil)}").json
    assert "<script" not in said["html"]
    assert html.unescape(said["html"]).count("<iframe") == 1


def test_addresses_hold_below_a_base_url(sample: Sample) -> None:
    served = Site(sample.path, Service(settings={"base_url": "/below/"}))
    url = f"{HERE}/below/neuron/sample-llama/2.0"
    answer = asyncio.run(served.get_from_app(f"/below/oembed?{urlencode({'url': url})}"))
    assert f'src="{HERE}/below/embed/sample-llama/2.0"' in answer.json["html"]
    served.close()
