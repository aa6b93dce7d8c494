"""One neuron: what its weights read and write, how it behaves, what others say of it."""

from neurondb.explore.neuron.content import content
from neurondb.explore.page import Ask, Page, Redirect
from neurondb.neurons import parse_neuron
from neurondb.render.text import visible


def answer(ask: Ask) -> Page | Redirect:
    """Return the page of a neuron, or with `?go=L.N` the way to another one of its model.

    Raises:
        UnknownNameError: when the database has no such model, neuron or dataset.
        UsageError: when what follows the `?` means nothing.
    """
    going = ask.query.get("go")
    if going:
        return Redirect(ask.site.links.neuron(ask.path["model"], parse_neuron(going).name))
    page = content(ask)
    return Page("neuron", f"{visible(page.identity.model)} {page.identity.name}", page)
