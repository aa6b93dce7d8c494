"""A site of files: every link leads to a file, nothing is asked of a server, the search finds."""

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from neurondb.errors import DatabaseError, NeuronDBError, UnknownNameError
from neurondb.exchange.exports.chosen import Choice
from neurondb.explore.static_site.addresses import Addresses, is_searchable, name_folder
from neurondb.explore.static_site.folder import MARK, replace_folder
from neurondb.explore.static_site.rewriting import make_relative, rewrite_page
from neurondb.explore.static_site.writing import StaticSite, Written, write_static_site
from tests.neurondb.explore.site_client import Parsed
from tests.support.browser import chromium, fits
from tests.support.ingested import Silent
from tests.support.sample_facts import Sample

LLAMA, GPT = "sample-llama", "sample-gpt"
WHERE = f"(model={LLAMA} (layer=1 neuron<2 or layer=3 neuron=5)) or (model={GPT} 0.1)"
NEURONS = {LLAMA: ("1.0", "1.1", "3.5"), GPT: ("0.1",)}


def write(sample: Sample, folder: Path, choice: Choice, **options: Any) -> Written:
    return write_static_site(StaticSite(folder, choice, str(sample.path), **options), Silent())


@pytest.fixture(scope="module")
def written(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of three neurons of one model and one of another, which were read from a disk."""
    place = tmp_path_factory.mktemp("static")
    database = Path(shutil.copy(sample.path, place / "copy.db"))
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE models SET source = '/home/secret/model'")
    folder = place / "sub" / "site"
    wanted = StaticSite(folder, Choice(WHERE), str(database), "Four neurons")
    found = write_static_site(wanted, Silent())
    assert (found.neurons, found.fitting) == (4, 4)
    return folder


class Links(HTMLParser):
    """Every address that a page names, in whatever attribute."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = ("href", "src", "action", "srcset", "data-script", "data-vega", "data-spec")
        self.found += [value for name, value in attrs if name in names and value is not None]


def pages(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.rglob("*.html"))


def test_every_link_of_every_page_leads_to_a_file_of_the_folder(written: Path) -> None:
    ids: dict[Path, list[str]] = {page: Parsed(page.read_text()).ids for page in pages(written)}
    n_links = 0
    for page in ids:
        for link in Links(page.read_text()).found:
            parts = urlsplit(link)
            assert (parts.scheme, parts.netloc) == ("", ""), (page, link)
            assert not parts.path.startswith("/"), (page, link)
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            assert target.is_file(), (page, link)
            assert target.is_relative_to(written), (page, link)
            if parts.fragment and target.suffix == ".html":
                assert parts.fragment in ids[target], (page, link)
            n_links += 1
    assert n_links > 500


def test_the_pages_are_those_of_the_chosen_neurons_their_layers_and_models(written: Path) -> None:
    found = {str(page.relative_to(written)) for page in pages(written)}
    neurons = {f"neuron/{model}/{name}.html" for model in NEURONS for name in NEURONS[model]}
    layers = {f"layer/{m}/{layer}.html" for m in (LLAMA, GPT) for layer in range(4)}
    models = {f"model/{m}.html" for m in (LLAMA, GPT)}
    assert neurons | layers | models | {"index.html", "search.html"} <= found
    first = {".".join(name.split("/")[2].split(".")[:2]) for name in found if "neuron/" in name}
    assert first == {name for names in NEURONS.values() for name in names}
    gated = [name for name in found if name.startswith(f"neuron/{LLAMA}/1.1.")]
    assert len(gated) == 5  # the first page, three further sign cases, the other basis


def test_keys_walk_through_the_chosen_neurons(written: Path) -> None:
    page = (written / f"neuron/{LLAMA}/1.1.html").read_text()
    assert re.search(r'href="1\.0\.html"[^>]*rel="prev"', page)
    assert re.search(r'href="3\.5\.html"[^>]*rel="next"', page)
    assert "last →" in (written / f"neuron/{LLAMA}/3.5.html").read_text()


def test_a_page_shows_what_the_site_shows(sample: Sample, written: Path) -> None:
    from tests.neurondb.explore.site_client import Site

    site = Site(sample.path)
    served = site.get(f"/neuron/{LLAMA}/1.1").page
    site.close()
    page = Parsed((written / f"neuron/{LLAMA}/1.1.html").read_text())
    left_out = {"go", "quantity-hook_pre_linear", "quantity-hook_pre", "quantity-swish"}
    assert [name for name in served.ids if name not in left_out] == page.ids
    numbers = re.findall(r"[−+]0\.\d+", served.text)
    assert numbers == re.findall(r"[−+]0\.\d+", page.text)
    assert len(numbers) > 20


def test_nothing_offers_what_no_file_does(written: Path) -> None:
    for page in pages(written):
        text = page.read_text()
        assert "<form" not in re.sub(r'<form[^>]*class="search"', "", text)
        assert 'type="module"' not in text
        assert "Open in the editor" not in text
    assert "Four neurons" in (written / "index.html").read_text()


def test_directories_of_this_machine_are_not_told(written: Path) -> None:
    for page in pages(written):
        assert "secret" not in page.read_text(), page


def test_charts_share_the_tables_of_their_layer(written: Path) -> None:
    figures = sorted((written / "figures").glob("layer-scatter-*.js"))
    assert len(figures) == 8 + 4  # a layer of two models, a neuron
    for file in (written / "figures").glob("*.js"):
        content = file.read_text().partition("]=")[2].removesuffix(";\n")
        chart = json.loads(content)
        if not file.name.startswith("data-"):
            assert chart["themes"]["light"] != chart["themes"]["dark"]
            assert all((written / f"figures/{name}.js").exists() for name in chart["datasets"])


def test_it_works_from_a_disk_and_the_search_finds(browser: Any, written: Path) -> None:
    chromium()
    wrong: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("request", lambda asked: wrong.append(asked.url) if asked.url[:7] != "file://" else None)
    tab.goto((written / "index.html").as_uri())
    tab.keyboard.press("/")
    tab.keyboard.type(f"layer=1 neuron>=0 model={LLAMA}")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/search.html?q=*")
    assert tab.locator("table.neurons tbody th").all_inner_texts() == ["1.0", "1.1"]
    tab.get_by_role("link", name="1.1").click()
    tab.wait_for_url("**/1.1.html")
    chart = tab.locator("figure.chart").first
    chart.evaluate("chart => chart.scrollIntoView()")
    chart.locator(".drawn svg").first.wait_for(timeout=20_000)
    assert fits(tab)
    tab.keyboard.press("j")
    tab.wait_for_url("**/3.5.html")
    context.close()
    assert not wrong


def test_the_search_understands_what_pages_link_to(
    browser: Any, sample: Sample, written: Path
) -> None:
    class_name = next(
        n["class"]
        for n in sample.neurons
        if n["model"] == LLAMA and (n["layer"], n["neuron"]) == (1, 1)
    )
    expected = sum(
        n["class"] == class_name and f"{n['layer']}.{n['neuron']}" in NEURONS.get(n["model"], ())
        for n in sample.neurons
    )
    context = browser.new_context()
    tab = context.new_page()
    for asked, count in (
        (class_name.replace(" ", "-"), expected),
        ("1.1", 1),
        ("' nowhere'", 0),
    ):
        tab.goto(f"{(written / 'search.html').as_uri()}?q={asked}")
        tab.wait_for_function("document.querySelector('#found').textContent")
        assert tab.locator("table.neurons tbody tr").count() == count, asked
    tab.goto(f"{(written / 'search.html').as_uri()}?q=' dog'")
    found = tab.locator("table.neurons tbody th a")
    assert found.count() > 0
    for link in found.all():
        page = written / str(link.get_attribute("href"))
        assert "<bdi>␣dog</bdi>" in page.read_text()
    tab.goto(f"{(written / 'search.html').as_uri()}?q=nonsense%3E3")
    assert "nothing that this search understands" in tab.locator("#found").inner_text()
    context.close()


def test_a_folder_is_replaced_only_where_it_is_ours(sample: Sample, tmp_path: Path) -> None:
    folder, choice = tmp_path / "site", Choice("0.1", (LLAMA,))
    folder.mkdir()
    (folder / MARK).touch()
    with pytest.raises(NeuronDBError, match="--force replaces the site in it"):
        write(sample, folder, choice)
    (folder / "old.html").touch()
    with replace_folder(folder, force=True) as partial:
        (partial / "index.html").touch()
    assert sorted(path.name for path in folder.iterdir()) == [MARK, "index.html"]
    with pytest.raises(RuntimeError), replace_folder(folder, force=True) as partial:
        raise RuntimeError
    assert (folder / "index.html").exists()
    (tmp_path / "other").mkdir()
    with pytest.raises(NeuronDBError, match="is there already; give a new folder"):
        write(sample, tmp_path / "other", choice, force=True)
    with pytest.raises(UnknownNameError, match="no neuron fits 'in_norm<0'"):
        write(sample, tmp_path / "none", Choice("in_norm<0"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "site"]


def test_a_server_is_refused_with_what_to_do(tmp_path: Path) -> None:
    wanted = StaticSite(tmp_path / "site", Choice(""), "postgresql://me:secret@lab/neurons")
    with pytest.raises(DatabaseError, match=r"`neurondb copy .* makes one of it") as refused:
        write_static_site(wanted, Silent())
    assert "secret" not in str(refused.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("expression", "understood"),
    [
        *(("class=weakening layer=3 model=a-b", True), ("' dog'", True), ("'it\\'s'", True)),
        *(("|in_out|>0.7 freq<=1e-3", True), ("31.9634", True), ("conditional-weakening", True)),
        *(("weakening or dead", False), ("not weakening", False), ("gate.token=' dog'", False)),
        *(("significant=1", False), ("layer=0..3", False), ("(weakening)", False), ("", True)),
    ],
)
def test_only_what_the_script_understands_is_linked(expression: str, understood: bool) -> None:
    assert is_searchable(expression) == understood


def test_links_become_relative_or_text() -> None:
    addresses = Addresses({"m": range(2)}, {"m": frozenset({"0.1"})}, tokens={("m", 3): "it's"})
    html = (
        '<a href="/layer/m/1#x">one</a> <a class="token" href="/token/m/3">it</a> '
        '<a class="token" href="/token/m/4">no</a> <a href="/random/m">some <b>neuron</b></a>'
        '<a href="/neuron/m/0.2">0.2</a> &amp; <a href="/neuron/m/0.1?case=gate%2B">0.1</a>'
    )
    assert rewrite_page(html, "neuron/m/0.1.html", addresses.resolve) == (
        '<a href="../../layer/m/1.html#x">one</a> '
        '<a href="../../search.html?q=%27it%5C%27s%27" class="token">it</a> '
        '<span class="token">no</span> <span>0.2</span> &amp; <a href="0.1.html">0.1</a>'
    )
    assert make_relative("index.html", "index.html") == "index.html"


def test_models_have_folders_that_every_host_takes() -> None:
    assert name_folder("llama-3.2-3b") == "llama-3.2-3b"
    odd = {name_folder(name) for name in ("a b", "a/b", "a?b", "..", "été")}
    assert len(odd) == 5
    assert all(re.fullmatch(r"m-[A-Za-z0-9._-]+", name) for name in odd)
