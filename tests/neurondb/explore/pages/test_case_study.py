"""The case study of a neuron at an address of its own, linked from the neuron's page."""

from neurondb.neurons import NeuronPlace
from tests.neurondb.documents.case_studies import read_page
from tests.neurondb.explore.site_client import Site

ADDRESS = "/neuron/sample-llama/2.0"


def test_the_page_of_a_neuron_leads_to_its_case_study(site: Site) -> None:
    page = site.get(ADDRESS).page
    assert f"{ADDRESS}/case-study.html" in page.links
    chosen = site.get(f"{ADDRESS}?dataset=sample").page
    assert f"{ADDRESS}/case-study.html?dataset=sample" in chosen.links


def test_a_case_study_is_a_page_or_a_download(site: Site) -> None:
    page = site.get(f"{ADDRESS}/case-study.html")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "content-disposition" not in page.headers
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "sample-llama: neuron 2.0" in page.text
    assert "script" not in read_page(page.text).elements
    download = site.get(f"{ADDRESS}/case-study.md")
    assert download.text.startswith("# sample-llama: neuron 2.0\n")
    name = f"case-study-{NeuronPlace(2, 0).name}.md"
    assert download.headers["content-disposition"] == f'attachment; filename="{name}"'


def test_what_is_not_there_is_not_found(site: Site) -> None:
    for address in (
        *("/neuron/sample-llama/9.9/case-study.html", "/neuron/nobody/0.0/case-study.md"),
        f"{ADDRESS}/case-study.html?dataset=news",
    ):
        assert site.get(address).status == 404
