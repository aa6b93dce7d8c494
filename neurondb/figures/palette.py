"""The colours of figures and pages.

Charts are drawn in those of the light theme; `themes` exchanges each for its dark counterpart.
Hue tells the families of read-write classes apart: warm strengthens, cool weakens, green is in
proportion; an atypical class is its typical one, lighter. The hues follow Okabe and Ito, so that
they differ under the common colour deficiencies; lightness differs besides.
"""

from types import MappingProxyType
from typing import Final, Literal

Theme = Literal["light", "dark"]
THEMES: Final[tuple[Theme, ...]] = ("light", "dark")

SURFACE: Final = "#ffffff"
INK: Final = "#1c1f24"
MUTED: Final = "#5c6370"
GRID: Final = "#e9ebee"
BAND: Final = "#dfe2e7"
"""The colour of random regions."""
OUTLINE: Final = "#8a909c"
"""The colour of outlines of regions, of thresholds and of zero."""
ACCENT: Final = "#5b4fc4"
ACCENT_SOFT: Final = "#c6c0ee"

DIVERGING: Final = ("#1b4b9b", "#6f9bd6", "#b9bec8", "#e8935a", "#b5400d")
"""Colours from −1 over 0 to +1."""
SEQUENTIAL: Final = ("#e7e4f6", "#b0a6e4", "#7265cc", "#3c2c97", "#1d1157")
"""Colours from few to many."""

CLASS_COLOURS: Final = MappingProxyType(
    {
        "strengthening": "#c8401f",
        "atypical strengthening": "#e39c89",
        "conditional strengthening": "#e69a00",
        "atypical conditional strengthening": "#f4d08a",
        "proportional change": "#00916a",
        "atypical proportional change": "#86cdb6",
        "orthogonal output": "#d6d9de",
        "weakening": "#1c4aa0",
        "atypical weakening": "#93a8d3",
        "conditional weakening": "#2fa8dc",
        "atypical conditional weakening": "#a9dcf3",
        "undefined": "#757b87",
    }
)
"""Read-write class → colour."""

LINE_COLOURS: Final = (
    ACCENT,
    *(
        CLASS_COLOURS[name]
        for name in (
            *("strengthening", "proportional change", "conditional strengthening"),
            *("conditional weakening", "weakening"),
        )
    ),
)
"""Colours of lines that stand for models, or for anything else that has none of its own."""
LINE_DASHES: Final = ([1, 0], [6, 3], [2, 2])
"""Dashes of such lines: each after the other once the colours are used up."""

ROLE_COLOURS: Final = MappingProxyType(
    {
        "prediction": "#c8401e",
        "suppression": "#1c4aa1",
        "partition": "#00916b",
        "no role": "#b4b9c2",
    }
)
"""Role of an out vector (METHODS §4) → colour."""

DARK: Final = MappingProxyType(
    {
        SURFACE: "#16181d",
        INK: "#e8eaed",
        MUTED: "#a3a9b5",
        GRID: "#2a2e36",
        BAND: "#343943",
        OUTLINE: "#7d8593",
        ACCENT: "#a59bf2",
        ACCENT_SOFT: "#4d4690",
        **dict(
            zip(DIVERGING, ("#7fb0ff", "#5a83c0", "#4b515c", "#c9824f", "#ff9a5c"), strict=True)
        ),
        **dict(
            zip(SEQUENTIAL, ("#29263f", "#4a4285", "#7569c9", "#a99ff0", "#e4dfff"), strict=True)
        ),
        "#c8401f": "#e2603f",
        "#e39c89": "#a8624f",
        "#f4d08a": "#8f6d2a",
        "#00916a": "#1fb588",
        "#86cdb6": "#3f7a68",
        "#d6d9de": "#3f444e",
        "#1c4aa0": "#4f86ea",
        "#93a8d3": "#4a6291",
        "#2fa8dc": "#5cc3ee",
        "#a9dcf3": "#3d7590",
        "#757b87": "#8d94a1",
        "#c8401e": "#f0714f",
        "#1c4aa1": "#6a9cf7",
        "#00916b": "#2cc498",
        "#b4b9c2": "#5b616d",
    }
)
"""Colour of the light theme → that of the dark one; a colour that is not here serves both."""


def choose_class_colours(theme: Theme = "light") -> dict[str, str]:
    """Return read-write class → colour in a theme; in the dark one atypical means darker."""
    if theme == "light":
        return dict(CLASS_COLOURS)
    return {name: DARK.get(colour, colour) for name, colour in CLASS_COLOURS.items()}
