"""How charts look, light and dark: one configuration, one exchange of colours."""

from typing import Any, Final

from neurondb.figures.palette import ACCENT, DARK, GRID, INK, MUTED, OUTLINE, SURFACE, Theme

FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"

_TEXT: Final = {"labelColor": MUTED, "titleColor": INK, "labelFontSize": 11, "titleFontSize": 12}

CONFIG: Final[dict[str, Any]] = {
    "background": SURFACE,
    "font": FONT,
    "padding": 14,
    "title": {
        "anchor": "start",
        "color": INK,
        "fontSize": 15,
        "fontWeight": 600,
        "frame": "bounds",
        "offset": 14,
        "subtitleColor": MUTED,
        "subtitleFontSize": 12,
        "subtitlePadding": 5,
    },
    "axis": {
        **_TEXT,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "domainColor": OUTLINE,
        "tickColor": OUTLINE,
        "tickSize": 4,
        "gridColor": GRID,
        "labelOverlap": "greedy",
        "labelSeparation": 3,
    },
    "legend": {
        **_TEXT,
        "titleFontWeight": 600,
        "titlePadding": 6,
        "labelLimit": 260,
        "symbolStrokeWidth": 1.5,
        "gradientLength": 120,
        "gradientThickness": 12,
    },
    "header": {
        **_TEXT,
        "labelColor": INK,
        "labelFontSize": 12,
        "labelFontWeight": 600,
        "labelAnchor": "start",
        "labelPadding": 6,
        "title": None,
    },
    "text": {"color": INK, "fontSize": 11},
    "line": {"color": ACCENT},
    "point": {"color": ACCENT},
    "bar": {"color": ACCENT},
    "view": {"stroke": GRID},
}


def apply_theme(spec: dict[str, Any], theme: Theme) -> dict[str, Any]:
    """Return a specification in the colours of a theme; the data are left as they are."""
    spec = spec | {"config": CONFIG}
    if theme == "light":
        return spec
    data = {key: spec[key] for key in ("data", "datasets") if key in spec}
    recoloured: dict[str, Any] = _exchange_colours({k: v for k, v in spec.items() if k not in data})
    return recoloured | data


def _exchange_colours(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _exchange_colours(value) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [_exchange_colours(value) for value in part]
    return DARK.get(part, part) if isinstance(part, str) else part
