"""One neuron: what its weights read and write, how it behaves, what others say of it."""

import re
from typing import Final

from neurondb.errors import UsageError
from neurondb.explore.neuron.content import content
from neurondb.explore.page import Ask, Page, Redirect
from neurondb.render.text import visible

_NAME: Final = re.compile(r"\s*([0-9]{1,9})\.([0-9]{1,9})\s*")


def answer(ask: Ask) -> Page | Redirect:
    """Return the page of a neuron, or with `?go=L.N` the way to another one of its model.

    Raises:
        UnknownNameError: when the database has no such model, neuron or dataset.
        UsageError: when what follows the `?` means nothing.
    """
    going = ask.query.get("go")
    if going:
        name = _NAME.fullmatch(going)
        if name is None:
            raise UsageError(f"{going[:80]!r} is not LAYER.NEURON, like 31.9634")
        return Redirect(ask.site.links.neuron(ask.path["model"], f"{name[1]}.{name[2]}"))
    page = content(ask)
    return Page("neuron", f"{visible(page.identity.model)} {page.identity.name}", page)
