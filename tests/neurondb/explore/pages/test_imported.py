"""Pages of a model that only an import knows: what nobody said leaves no gap in a sentence."""

import json
from collections.abc import Iterator

import pytest

from neurondb.exchange.imports.gluscope.page import PageRequest, import_pages
from neurondb.exchange.imports.target import ModelRequest
from tests.neurondb.explore.site_client import Site, looks_right

CASES = ("gate+_in+", "gate+_in-", "gate-_in+", "gate-_in-")
QUANTITIES = ("hook_post", "hook_pre_linear", "hook_pre", "swish")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site of one page of GLUScope's, which does not say how many tokens were counted."""
    folder = tmp_path_factory.mktemp("imported")
    numbers = {"max": 0.5, "min": -0.5, "avg": 0.25}
    said = {quantity: dict.fromkeys(CASES, numbers) for quantity in QUANTITIES}
    neurons = {"1.3": {"freq_pct": dict.fromkeys(CASES, 25.0)} | said}
    page = folder / "L1" / "N3"
    page.mkdir(parents=True)
    example = {
        "tokens": ["a", " dog"],
        "values": [[0.0] * 5, [0.5, 0.5, 1.0, 0.6, 0.5]],
        "labels": ["gate+_in+_hook_post", *QUANTITIES],
    }
    (page / "gate+_in+_hook_post_example_0.json").write_text(json.dumps(example))
    (page / "stats.json").write_text(json.dumps({"neurons": neurons}))
    asked = PageRequest(ModelRequest("toy", layers=2, neurons=4), "pages")
    import_pages(str(folder / "n.db"), page, asked)
    served = Site(folder / "n.db")
    yield served
    served.close()


def test_a_model_without_weights_says_so(site: Site) -> None:
    text = looks_right(site.get("/model/toy")).text
    assert "none: the numbers are others'; classes at τ = 0.5" in text


def test_a_card_says_nothing_of_tokens_that_nobody_counted(site: Site) -> None:
    text = site.get("/embed/toy/1.3").page.text
    assert "25%" in text or "25.00%" in text
    assert "pages" in text
    assert "tokens" not in text
