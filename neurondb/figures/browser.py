"""What a browser needs to draw a specification: Vega in one script, and a page of its own."""

import html
import json
from functools import cache
from typing import Any, Final

from neurondb.formatting.text import make_visible

EMBED: Final = """
const named = (chart) => {
  chart.parentElement.querySelector("summary")?.setAttribute("aria-label", "Save the chart");
  for (const part of chart.querySelectorAll("[role=graphics-symbol]:not([aria-label])")) {
    part.removeAttribute("role");
    part.removeAttribute("aria-roledescription");
    part.setAttribute("aria-hidden", "true");
  }
};
window.neurondbEmbed = (element, spec, options) =>
  vegaEmbed(element, {...spec, background: (options || {}).background || "transparent"}, {
    mode: "vega-lite",
    renderer: "svg",
    ast: true,
    actions: {export: {svg: true, png: true}, source: false, compiled: false, editor: false},
    i18n: {CLICK_TO_VIEW_ACTIONS: "Save the chart"},
    ...options,
  }).then((drawn) => {
    named(drawn.view.container());
    return drawn;
  });
"""
"""With `ast`, expressions are interpreted (vega-embed brings the interpreter) rather than compiled,
so that a Content-Security-Policy need not allow 'unsafe-eval'. `named` tells screen readers what
Vega does not: what the menu is for, and that marks without a value are decoration."""

_POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body {{ margin: 0; background: {background}; }}</style>
</head>
<body>
<main id="figure"></main>
<script>{script}</script>
<script>neurondbEmbed("#figure", {spec});</script>
</body>
</html>
"""


@cache
def bundle_javascript() -> str:
    """Return the script that defines `window.neurondbEmbed(element, spec, options)`, nothing else.

    It returns vega-embed's promise; `options` are vega-embed's, and its defaults are an SVG of
    transparent background whose menu saves SVG and PNG. Runs without 'unsafe-eval' and fetches
    nothing. Some 0.9 MB, made in a second once a process.
    """
    import vl_convert

    # In a function: what the bundle declares at its top would otherwise be global.
    return f"(() => {{{vl_convert.javascript_bundle(EMBED)}\n}})();"


def make_html_page(spec: dict[str, Any]) -> str:
    """Return a page that draws a specification and holds all that it needs."""
    return _PAGE.format(
        policy=html.escape(_POLICY),
        title=html.escape(_find_title(spec)),
        background=html.escape(str(spec.get("config", {}).get("background", "white"))),
        script=bundle_javascript().replace("</script", "<\\/script"),
        # No text of a vocabulary can end the script it stands in.
        spec=json.dumps(spec, allow_nan=False).replace("<", "\\u003c"),
    )


def _find_title(spec: dict[str, Any]) -> str:
    title = spec.get("title", "NeuronDB")
    text = title.get("text", "NeuronDB") if isinstance(title, dict) else title
    return make_visible(" ".join(text) if isinstance(text, list) else str(text))
