"""Figures: rows → Altair charts, the same for a page and a file, one module each.

Importing this loads neither altair nor vl_convert; looking a figure up does.

    FIGURES                          name → Figure
    chart, spec                      a figure of a model as a chart, as vega-lite JSON
    stacked                          the charts of several models as one
    finished                         a chart as vega-lite JSON in a theme and a size
    rendered                         vega-lite JSON → svg, png, pdf, html, json
    javascript                       the script that draws vega-lite JSON in a browser
"""

from neurondb.figures.browser import javascript
from neurondb.figures.drawing import chart, figure_called, finished, spec, stacked
from neurondb.figures.figure import Figure, Parameter
from neurondb.figures.registry import FIGURES
from neurondb.figures.rendering import rendered

__all__ = [
    "FIGURES",
    "Figure",
    "Parameter",
    "chart",
    "figure_called",
    "finished",
    "javascript",
    "rendered",
    "spec",
    "stacked",
]
