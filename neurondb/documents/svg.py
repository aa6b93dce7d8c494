"""Figures inside of a page: SVG that shares the page with others, in its colours, and small.

Vega gives every mark a label, every number sixteen digits and every point the outline of a circle;
a page needs none of these, and is a quarter as large without.
"""

import re
from typing import Final
from xml.etree import ElementTree

from neurondb.figures.palette import DARK

SVG_NAMESPACE: Final = "http://www.w3.org/2000/svg"
_LINK_NAMESPACE: Final = "{http://www.w3.org/1999/xlink}"
_NUMBER: Final = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")
_REFERENCE: Final = re.compile(r"url\(#([\w-]+)\)")
_RGB: Final = re.compile(r"rgb\((\d+), ?(\d+), ?(\d+)\)")
_PLACE: Final = re.compile(r"translate\((-?[\d.]+),(-?[\d.]+)\)")
_CIRCLE: Final = re.compile(
    r"M([\d.]+),0A\1,\1,0,1,1,-\1,0A\1,\1,0,1,1,\1,0"  # what vega draws a point of a scatter with
)
_NOTHING: Final = ("", "M0,0h0v0h0Z")
_DROPPED: Final = re.compile(
    r"aria-|role$|class$|on|href$|stroke-miterlimit$|cursor$|pointer-events$|version$"
)
"""Attributes that say nothing on a page, or would act on it."""
_SHORTENED: Final = ("d", "transform", "x", "y", "x1", "x2", "y1", "y2", "width", "height", "r")
_DEFAULTS: Final = {"opacity": "1", "fill-opacity": "1", "stroke-opacity": "1"}
_KEPT_OUT: Final = frozenset(f"{{{SVG_NAMESPACE}}}{name}" for name in ("script", "foreignObject"))


def prepare_svg(image: bytes, name: str) -> str:
    """Return the picture as an element of a page.

    Its ids begin with `name`, so that no two figures share one; numbers keep two decimals, a
    hundredth of a pixel; links and the labels of single marks are left out.

    Raises:
        ElementTree.ParseError: when it is no XML.
    """
    ElementTree.register_namespace("", SVG_NAMESPACE)
    root = ElementTree.fromstring(image)  # noqa: S314 (drawn by us, and vega writes no entities)
    for parent in root.iter():
        parent[:] = [child for child in parent if child.tag not in _KEPT_OUT]
    for element in root.iter():
        _shorten_attributes(element, name)
        _draw_circle(element)
    for parent in root.iter():
        parent[:] = [child for child in parent if not _is_nothing(child)]
    root.set("aria-hidden", "true")  # the figure around it says what it shows
    return ElementTree.tostring(root, encoding="unicode")


def _shorten_attributes(element: ElementTree.Element, name: str) -> None:
    if element.tag == f"{{{SVG_NAMESPACE}}}a":
        element.tag = f"{{{SVG_NAMESPACE}}}g"
    for key, value in list(element.attrib.items()):
        if key.startswith(_LINK_NAMESPACE) or _DROPPED.match(key) or _DEFAULTS.get(key) == value:
            del element.attrib[key]
        elif key == "id":
            element.set(key, f"{name}-{value}")
        elif key in _SHORTENED:
            element.set(key, _NUMBER.sub(_shorten, value))
        elif "url(" in value:
            element.set(key, _REFERENCE.sub(rf"url(#{name}-\1)", value))
        elif value.startswith("rgb("):
            element.set(key, _RGB.sub(_write_hexadecimal, value))
    if element.tag.endswith("path") and "stroke" not in element.attrib:
        element.attrib.pop("stroke-width", None)


def _shorten(number: re.Match[str]) -> str:
    return f"{float(number[0]):z.2f}".rstrip("0").rstrip(".")


def _write_hexadecimal(colour: re.Match[str]) -> str:
    return "#" + "".join(f"{int(part):02x}" for part in colour.groups())


def _draw_circle(element: ElementTree.Element) -> None:
    """Make a circle of a path that is one."""
    circle = _CIRCLE.fullmatch(element.get("d", ""))
    place = _PLACE.fullmatch(element.get("transform", ""))
    if circle is None or place is None:
        return
    element.tag = f"{{{SVG_NAMESPACE}}}circle"
    del element.attrib["d"], element.attrib["transform"]
    element.attrib.update(cx=place[1], cy=place[2], r=circle[1])


def _is_nothing(element: ElementTree.Element) -> bool:
    return element.tag.endswith("path") and element.get("d", "") in _NOTHING


def make_dark_rules() -> str:
    """Return CSS rules that exchange the colours of drawn figures for those of the dark theme."""
    return "\n".join(
        f'figure svg [{attribute}="{light}"] {{ {attribute}: {dark}; }}'
        for light, dark in DARK.items()
        for attribute in ("fill", "stroke")
    )
