"""Figures: rows → Altair charts, the same for a page and a file, one module each.

Importing this loads neither altair nor vl_convert; drawing a figure does.

    FIGURES                          name → Figure
    draw_chart, make_spec            a figure of a model as a chart, as vega-lite JSON
    draw_models                      a figure of several models as one chart
    stack_charts                     the charts of several models below each other
    fill_statement                   the SELECT of the numbers drawn
    finish_spec                      a chart as vega-lite JSON in a theme and a size
    render_spec                      vega-lite JSON → svg, png, pdf, html, json
    bundle_javascript                the script that draws vega-lite JSON in a browser

A new figure is an entry of `registry`, the module of its name with the function `draw` (and with
`draw_models`, where several models are drawn in one chart), and the file of its name in
`statements`, whose SELECT has the numbers drawn. What it needs of the database it asks
`requirements` for; `chart_parts` has what charts share, `palette` the colours.
"""

from neurondb.figures.browser import bundle_javascript
from neurondb.figures.drawing import (
    draw_chart,
    draw_models,
    fill_statement,
    find_figure,
    finish_spec,
    make_spec,
    stack_charts,
)
from neurondb.figures.figure import Figure, Parameter
from neurondb.figures.registry import FIGURES
from neurondb.figures.rendering import render_spec

__all__ = [
    "FIGURES",
    "Figure",
    "Parameter",
    "bundle_javascript",
    "draw_chart",
    "draw_models",
    "fill_statement",
    "find_figure",
    "finish_spec",
    "make_spec",
    "render_spec",
    "stack_charts",
]
