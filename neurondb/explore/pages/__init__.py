"""The pages, a module each: this table gives each its address.

A page module has `answer`, which takes a `Request` of `explore/site.py` and returns a `Page`, a
`Redirect`, a `Document`, or a `Question` to the live model.
"""

from typing import Final

from neurondb.reading.run_digests import LENGTH

_MODEL: Final = r"(?P<model>[^/]+?)"
_PLACE: Final = r"(?P<layer>[0-9]{1,19})\.(?P<neuron>[0-9]{1,19}(?:\.[0-9]{1,19})?)"
"""The neuron of a layer, or of an expert of it: its expert and its number there."""
_RUN: Final = rf"[0-9]{{1,9}}|[0-9a-f]{{{LENGTH}}}"
"""A run: its number in this database, or its digest, which lasts."""
_JSON: Final = r"(?P<format>\.json)?$"

PAGES: Final = {
    r"/(index(?P<format>\.json))?$": "home",
    r"/search" + _JSON: "search",
    r"/find" + _JSON: "find.page",
    r"/find\.(?P<form>csv|ndjson)$": "find.rows",
    rf"/model/{_MODEL}" + _JSON: "model",
    rf"/layer/{_MODEL}/(?P<layer>[0-9]{{1,9}})" + _JSON: "layer",
    rf"/neuron/{_MODEL}/{_PLACE}" + _JSON: "neuron.page",
    rf"/neuron/{_MODEL}/{_PLACE}/case-study\.(?P<form>md|html)$": "case_study",
    rf"/connections/{_MODEL}/{_PLACE}" + _JSON: "connections",
    rf"/random/{_MODEL}$": "random",
    rf"/token/{_MODEL}/(?P<token_id>[0-9]{{1,9}})" + _JSON: "token",
    r"/text/(?P<text_id>[0-9]{1,12})" + _JSON: "text",
    r"/text/(?P<dataset>[^/]+)/(?P<ordinal>[0-9]{1,12})" + _JSON: "text",
    rf"/run/(?P<run_id>{_RUN})" + _JSON: "run",
    rf"/concept/(?P<run_id>{_RUN})" + _JSON: "concept",
    rf"/entropy/(?P<run_id>{_RUN})" + _JSON: "entropy",
    rf"/attributes/(?P<run_id>{_RUN})" + _JSON: "attributes",
    rf"/generation/(?P<run_id>{_RUN})" + _JSON: "generation",
    r"/pair" + _JSON: "pair",
    r"/compare/(?P<before>[^/]+)/(?P<after>[^/]+?)" + _JSON: "comparison",
    rf"/series/(?P<series_id>{_RUN})" + _JSON: "series",
    rf"/live/{_MODEL}" + _JSON: "live.page",
    rf"/live/{_MODEL}/intervene$": "live.intervene",
    r"/annotate$": "annotate",
    r"/lists" + _JSON: "lists",
    r"/list/(?P<name>[^/]+?)" + _JSON: "neuron_list",
    rf"/embed/{_MODEL}/{_PLACE}$": "embed",
    r"/oembed$": "oembed",
    r"/figure/(?P<name>[a-z-]+)\.(?P<form>json|svg|png|pdf|html)$": "figure",
}
"""Address below the site's base, as a regular expression → module of this package."""

FORMS: Final = frozenset({"annotate", "live.intervene"})
"""Modules that answer to a form that was sent (POST); the others only show."""
