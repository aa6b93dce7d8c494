"""Figures inside of a page: SVG that shares the page with others, in its colours, and small.

Vega gives every mark a label and every number sixteen digits; a printed page needs neither.
"""

import re
from typing import Final
from xml.etree import ElementTree

from neurondb.figures.palette import DARK

SVG_NAMESPACE: Final = "http://www.w3.org/2000/svg"
_LINK_NAMESPACE: Final = "{http://www.w3.org/1999/xlink}"
_NUMBER: Final = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")
_REFERENCE: Final = re.compile(r"url\(#([\w-]+)\)")
_DROPPED: Final = re.compile(
    r"aria-|role$|class$|on|href$|stroke-miterlimit$|cursor$|pointer-events$"
)
"""Attributes that say nothing on a page, or would act on it."""
_SHORTENED: Final = ("d", "transform", "x", "y", "x1", "x2", "y1", "y2", "width", "height", "r")


def prepare_svg(image: bytes, name: str) -> str:
    """Return the picture as an element of a page.

    Its ids begin with `name`, so that no two figures share one; numbers keep two decimals, a
    hundredth of a pixel; links and the labels of single marks are left out.

    Raises:
        ElementTree.ParseError: when it is no XML.
    """
    ElementTree.register_namespace("", SVG_NAMESPACE)
    root = ElementTree.fromstring(image)  # noqa: S314 (drawn by us, and vega writes no entities)
    for element in root.iter():
        _prepare_element(element, name)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in {f"{{{SVG_NAMESPACE}}}script", f"{{{SVG_NAMESPACE}}}foreignObject"}:
                parent.remove(child)
    root.set("aria-hidden", "true")  # the figure around it says what it shows
    root.attrib.pop("version", None)
    return ElementTree.tostring(root, encoding="unicode")


def _prepare_element(element: ElementTree.Element, name: str) -> None:
    if element.tag == f"{{{SVG_NAMESPACE}}}a":
        element.tag = f"{{{SVG_NAMESPACE}}}g"
    for key, value in list(element.attrib.items()):
        if key.startswith(_LINK_NAMESPACE) or _DROPPED.match(key):
            del element.attrib[key]
        elif key == "id":
            element.set(key, f"{name}-{value}")
        elif key in _SHORTENED:
            element.set(key, _NUMBER.sub(_shorten, value))
        elif "url(" in value:
            element.set(key, _REFERENCE.sub(rf"url(#{name}-\1)", value))


def _shorten(number: re.Match[str]) -> str:
    return f"{float(number[0]):z.2f}".rstrip("0").rstrip(".")


def make_dark_rules() -> str:
    """Return CSS rules that exchange the colours of drawn figures for those of the dark theme."""
    return "\n".join(
        f'figure svg [{attribute}="{light}"] {{ {attribute}: {dark}; }}'
        for light, dark in DARK.items()
        for attribute in ("fill", "stroke")
    )
