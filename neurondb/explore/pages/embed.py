"""A neuron as a small card, which other sites show in a frame."""

from dataclasses import dataclass
from typing import Final

from neurondb.explore.parameters import read_choice, read_place
from neurondb.explore.site import Page, Request
from neurondb.figures.palette import choose_class_colours
from neurondb.formatting.text import make_visible
from neurondb.reading.activations import Activations
from neurondb.reading.models import find_model
from neurondb.reading.neuron import Identity, read_neuron_summary
from neurondb.reading.verdict import Verdict
from neurondb.reading.vocabulary import TokenList, read_vocabulary

TOKENS: Final = 5
"""How many tokens it shows of each end of out."""
WIDTH: Final = 480
HEIGHT: Final = 300
"""Pixels that a card needs."""
THEMES: Final = ("auto", "light", "dark")


@dataclass(frozen=True)
class Card:
    """A neuron in few words.

    Attributes:
        description: what stands out of it, in a line; None where none is stored.
        colours: of its class, in light and in dark; None without a class.
        promoted: the tokens that out raises most; None where no vocabulary is ingested.
        suppressed: the tokens that out lowers most.
        theme: auto, which follows the reader, light or dark.
        address: where all that is known of it stands.
    """

    identity: Identity
    description: str | None
    verdict: Verdict
    colours: tuple[str, str] | None
    activations: Activations | None
    promoted: TokenList | None
    suppressed: TokenList | None
    theme: str
    address: str


def answer(request: Request) -> Page:
    """Return the card of a neuron.

    Raises:
        UnknownNameError: when there is no such model, neuron or dataset.
        UsageError: when there is no such theme.
    """
    model = find_model(request.connection, request.path["model"])
    place = read_place(request.path, model)
    dataset = request.query.get("dataset") or None
    summary = read_neuron_summary(request.connection, model, place.layer, place.neuron, dataset)
    identity, read_write = summary.identity, summary.verdict.read_write
    vocabulary = read_vocabulary(request.connection, model, identity.neuron_id, "unembed", TOKENS)
    lists = {
        one.direction: one
        for one in (() if vocabulary is None else vocabulary.lists)
        if one.vector == "out"
    }
    card = Card(
        identity=identity,
        description=summary.description,
        verdict=summary.verdict,
        colours=None if read_write is None else _choose_colours(read_write.name),
        activations=summary.activations,
        promoted=lists.get("top"),
        suppressed=lists.get("bottom"),
        theme=read_choice("theme", request.query.get("theme"), THEMES),
        address=request.site.links.neuron(model.name, identity.name, dataset=dataset),
    )
    title = f"{make_visible(model.name)} {identity.name}"
    return Page("embed", title, card, framed=True)


def _choose_colours(class_name: str) -> tuple[str, str]:
    light, dark = (choose_class_colours(theme)[class_name] for theme in ("light", "dark"))
    return light, dark
