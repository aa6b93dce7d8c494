"""A caption that names a figure of a paper names one that there is, and says how it is meant.

What each figure of the papers shows was read in the papers; those below have the same axes,
quantities and panels. All others stand "after" a figure, whose differences the caption tells.
"""

import re

import pytest

from neurondb.figures import FIGURES

THE_SAME = {
    "layer-scatter": "weakening-neurons, figure 3",
    "layer-scatter-grid": "weakening-neurons, figure 3",
    "frequency-against-cosine": "weakening-neurons, figure 6",
    "logit-effects": "universal-neurons, figure 5",
}
LAST_FIGURE = {"weakening-neurons": 38, "universal-neurons": 27, "specialised-feature-neurons": 3}
HOW = r"((?:after )?(?:(?:the )?panels (?:[a-z] to [a-z] )?of )?)"
PAPER, NUMBERS = r"([\w-]+-neurons)", r"(\d[\d, andto]*)"
CLAIM = re.compile(f"{HOW}{PAPER}, figures? {NUMBERS}")


@pytest.mark.parametrize("name", FIGURES)
def test_a_caption_claims_no_figure_that_it_is_not(name: str) -> None:
    said = FIGURES[name].description
    claims = list(CLAIM.finditer(said))
    assert len(claims) == len(re.findall(r"-neurons, figures?", said))
    for claim in claims:
        how, paper, spelled = claim.groups()
        numbers = [int(n) for n in re.findall(r"\d+", spelled)]
        assert how.startswith("after") or THE_SAME.get(name) == f"{paper}, figure {numbers[0]}"
        assert all(1 <= n <= LAST_FIGURE[paper] for n in numbers)
