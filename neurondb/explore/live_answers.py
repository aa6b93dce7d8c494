"""A page's question reaches the live model; one whose visitor went away is not answered."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from neurondb.errors import LiveError, UsageError
from neurondb.explore.site import Question, Request, Site
from neurondb.live import LiveModel

UNCACHED: Final[Mapping[str, str]] = {"cache-control": "no-store"}
"""Headers of a page that a live model answered: what a visitor typed is kept by nobody."""


async def ask_live_model(site: Site, request: Any, question: Question) -> Any:
    """Return the live model's reply, unless the visitor goes away while the question waits.

    Args:
        site: whose model is asked.
        request: Datasette's request; its body has been read.
        question: what a page wants to know.

    Raises:
        LiveError: when there is no answer now.
        NeuronDBError: as the model raises.
    """
    if site.live is None:
        raise LiveError("no model runs beside this site")
    answering = asyncio.ensure_future(site.live.ask(question.asked))
    leaving = asyncio.ensure_future(_wait_until_gone(request))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            answering.cancel()
            raise LiveError("the visitor went away")
        return answering.result()
    finally:
        leaving.cancel()


async def _wait_until_gone(request: Any) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue


def require_live(request: Request, model: str) -> LiveModel:
    """Return the live model.

    Raises:
        UsageError: when this model does not run beside the site.
    """
    live = request.site.find_live(model)
    if live is None:
        hint = "" if request.site.options.public else f" --live {model}"
        raise UsageError(
            f"{model} does not run beside this site, which only shows what is stored"
            + (f"; start it with `neurondb serve{hint}`" if hint else "")
        )
    return live
