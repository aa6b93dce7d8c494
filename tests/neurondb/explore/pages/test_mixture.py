"""Pages of a database with a mixture of experts: whole, with names and links of experts."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.neurondb.explore.site_client import Site, looks_right
from tests.neurondb.explore.test_pages import ADDRESSES
from tests.support.sample_mixture import MIXTURE, NAMES

OF_NEURON = (
    *(f"/neuron/{MIXTURE}/{name}" for name in ("1.2.3", "1.27", "2.5.3", "0.3")),
    *(f"/token/{MIXTURE}/{token}" for token in (0, 18)),
    *(f"/text/2?model={MIXTURE}&neuron=1.2.3", f"/connections/{MIXTURE}/1.2.3"),
    *(f"/pair?left={MIXTURE}/1.2.3&right={MIXTURE}/0.1", "/find?q=1.2.3,2.5.1"),
    "/find?q=downstream(1.2.3)",
)
_LINK = re.compile(
    r'<a[^>]* href="/(?:neuron|connections)/([^/"]+)/([0-9.]+[0-9])[^"]*"[^>]*>(.*?)</a>'
)


@pytest.fixture(scope="module")
def site(mixture: Path) -> Iterator[Site]:
    served = Site(mixture)
    yield served
    served.close()


@pytest.mark.parametrize("address", [*ADDRESSES, *OF_NEURON])
def test_neurons_of_a_page_have_their_experts(site: Site, address: str) -> None:
    answer = site.get(address)
    if answer.status == 302:
        return
    if address.startswith("/series/"):  # `compare` refuses mixtures
        assert "no series 1 is stored" in looks_right(answer, 404).text
        return
    looks_right(answer)
    for model, name, shown in _LINK.findall(answer.text):
        assert name in NAMES[model], (model, name)
        text = re.sub("<[^>]*>", "", shown).strip()
        if re.fullmatch(r"[0-9]+(\.[0-9]+)+", text):
            assert text == name


@pytest.mark.parametrize("address", OF_NEURON)
def test_links_to_neurons_lead_to_them(site: Site, address: str) -> None:
    found = _LINK.findall(site.get(address).text)
    assert found
    for model, name in sorted({(model, name) for model, name, _ in found})[:4]:
        assert site.get(f"/neuron/{model}/{name}.json").json["identity"]["name"] == name


def test_a_neuron_is_searched_and_gone_to_by_its_name(site: Site) -> None:
    for asked in (
        f"/search?q={MIXTURE}/1.2.3",
        "/search?q=1.2.3",
        f"/neuron/{MIXTURE}/0.1?go=1.2.3",
    ):
        answer = site.get(asked)
        assert answer.status == 302
        assert answer.headers["location"] == f"/neuron/{MIXTURE}/1.2.3"
    (field,) = [
        given
        for _, given in site.get(f"/neuron/{MIXTURE}/1.2.3").page.tags
        if given.get("id") == "go"
    ]
    assert field["placeholder"] == "L.E.N"
    assert re.fullmatch(str(field["pattern"]), "1.2.3")


def test_an_embedded_card_is_of_the_expert(site: Site) -> None:
    card = site.get(f"/embed/{MIXTURE}/1.2.3")
    assert card.status == 200
    assert f"/neuron/{MIXTURE}/1.2.3" in card.text


@pytest.mark.parametrize("name", ["1.9.3", "0.1.3", "1.5.4", "1.64"])
def test_a_neuron_that_is_not_there_is_told_in_a_line(site: Site, name: str) -> None:
    page = looks_right(site.get(f"/neuron/{MIXTURE}/{name}"), 404)
    assert f"no neuron {name}: its layers are 0 to 3, their experts 0 to 4" in page.text


@pytest.mark.parametrize("address", ["/", f"/model/{MIXTURE}"])
def test_a_mixture_is_not_said_to_be_layers_times_a_width(site: Site, address: str) -> None:
    text = looks_right(site.get(address)).text
    assert "4 layers of 5 experts of 12 neurons, 2 a token, and a shared one of 4;" in text
    assert "undivided, of 64 neurons: 0: 256 gated neurons" in text
