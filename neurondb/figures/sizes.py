"""Give a specification another size, whatever it is composed of."""

from typing import Any, Final, Literal

Width = int | Literal["container"]
GAP: Final = 20
"""Pixels between views side by side, as vega-lite has it by default."""
DECORATION: Final = 40
"""Pixels of a view's share of a width that the labels of its axis may take."""
LEAST_WIDTH: Final = 40
COMPOSED: Final = ("facet", "hconcat", "vconcat", "concat")


def is_single_view(spec: dict[str, Any]) -> bool:
    """Tell whether a specification is one view, which can take the width of its container."""
    return not any(key in spec for key in COMPOSED)


def resize(spec: dict[str, Any], width: Width | None, height: int | None) -> dict[str, Any]:
    """Return a specification of the given width, each of its views of the given height.

    A composed specification divides the width among its columns; "container", which vega-lite
    knows for single views only, leaves it unchanged.
    """
    if width == "container" and not is_single_view(spec):
        width = None
    return _resize(spec, width, height)


def _resize(spec: dict[str, Any], width: Width | None, height: int | None) -> dict[str, Any]:
    spec = dict(spec)
    if "facet" in spec:
        spec["spec"] = _resize(spec["spec"], _divide(width, spec.get("columns") or 1), height)
        return spec
    for key in ("vconcat", "hconcat", "concat"):
        if key in spec:
            columns = len(spec[key]) if key == "hconcat" else spec.get("columns") or 1
            spec[key] = [_resize(part, _divide(width, columns), height) for part in spec[key]]
            return spec
    sizes = {"width": width, "height": height}
    return spec | {key: value for key, value in sizes.items() if value is not None}


def _divide(width: Width | None, columns: int) -> Width | None:
    if not isinstance(width, int) or columns == 1:
        return width
    return max(LEAST_WIDTH, (width - (columns - 1) * GAP - DECORATION) // columns)
