"""Addresses of the site → files of the folder, for what is in it.

index.html                      the models
model/MODEL.html                a model
layer/MODEL/L.html              a layer
neuron/MODEL/L.N.html           a neuron, and beside it …
neuron/MODEL/L.N.CHOICE.html    … its other sign cases, and the other basis of its tokens
search.html?q=…                 whatever the script of the search understands
figures/…, assets/…             pictures, stylesheets and scripts
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from neurondb.explore.notation import quote_text

HOME: Final = "index.html"
SEARCH: Final = "search.html"
INDEX_SCRIPT: Final = "search-index.js"
"""The index of the search, which is written beside the assets that pages load."""

NUMBERS: Final = ("layer", "neuron", "gate_in", "gate_out", "in_out", "freq", "out_kurtosis")
"""Columns of `neuron_overview` that the script of the search can compare."""

NeuronChoice = tuple[str | None, str, str]
"""Sign case, quantity, and basis of the token lists, of a neuron's page."""

_QUOTED: Final = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_TERM: Final = re.compile(
    rf"""(?:{_QUOTED}
    |(?:class|model)\s*=\s*(?:{_QUOTED}|[^\s'"()]+)
    |\|?(?:{"|".join(NUMBERS)})\|?\s*(?:>=|<=|=|>|<)\s*-?[0-9]*\.?[0-9]+(?:e-?[0-9]+)?
    |[0-9]+\.[0-9]+(?:\.[0-9]+)?
    |(?!(?:or|and|not)\b)[a-z][a-z-]*)(?:\s+|$)""",
    re.VERBOSE,
)
_MODEL_PAGE: Final = re.compile(r"model/([^/]+)")
_LAYER_PAGE: Final = re.compile(r"layer/([^/]+)/([0-9]+)")
_NEURON_PAGE: Final = re.compile(r"neuron/([^/]+)/([0-9.]+)")
_TOKEN_PAGE: Final = re.compile(r"token/([^/]+)/([0-9]+)")
_FIGURE: Final = re.compile(r"figure/([a-z-]+)\.json")


def name_folder(model: str) -> str:
    """Return a name that every host and file system has for a model's files."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", model)
    changed = plain != model or plain.startswith(".")
    return f"m-{plain}-{_digest(model)}" if changed else plain


def format_neuron_file(model: str, name: str, choice: str = "") -> str:
    """Return the file of a neuron, or of what is chosen beside its first page."""
    return f"neuron/{name_folder(model)}/{name}{choice and '.'}{choice}.html"


def format_choice(choice: NeuronChoice) -> str:
    """Return what is chosen as a part of a file's name: `gate-pos-in-neg.hook-post.unembed`."""
    sign_case, quantity, basis = choice
    words = {"+": "-pos", "-": "-neg", "_": "-"}
    spelled = "".join(words.get(character, character) for character in sign_case or "all")
    return ".".join((spelled.replace("--", "-"), quantity.replace("_", "-"), basis))


def is_searchable(expression: str) -> bool:
    """Tell whether the script of the search understands an expression as `find` does."""
    place = 0
    while place < len(expression):
        term = _TERM.match(expression, place)
        if term is None:
            return False
        place = term.end()
    return True


@dataclass(frozen=True)
class NeuronPages:
    """The pages that are written of one neuron: the first, and those of other choices.

    Attributes:
        first: what the first page shows.
        dataset: name of the dataset that all of them show.
        files: choice → file.
    """

    model: str
    name: str
    first: NeuronChoice
    dataset: str | None
    files: dict[NeuronChoice, str]

    def find(self, query: dict[str, str]) -> str | None:
        """Return the file of the page that an address of this neuron chooses."""
        if query.get("dataset", self.dataset) != self.dataset:
            return None
        sign_case, quantity, basis = self.first
        choice = (
            query.get("case", sign_case),
            query.get("quantity", quantity),
            query.get("basis", basis),
        )
        return self.files.get(choice)


@dataclass
class Addresses:
    """What has a file.

    Attributes:
        models: model → layers whose pages are written.
        neurons: model → names of the neurons whose pages are written.
        figures: address of each chart that a page shows → the file of its script.
        tokens: model and token id → text, of the tokens that the search finds.
        assets: stylesheets, scripts and pictures that pages load.
    """

    models: dict[str, range]
    neurons: dict[str, frozenset[str]]
    figures: dict[str, str] = field(default_factory=dict)
    tokens: dict[tuple[str, int], str] = field(default_factory=dict)
    assets: set[str] = field(default_factory=set)

    def resolve(self, address: str, own: NeuronPages | None = None) -> str | None:
        """Return the file behind an address of the site, with what follows it; None without one.

        Args:
            address: as it stands in a page, below the site's root.
            own: the pages of the neuron in whose page it stands.
        """
        parts = urlsplit(address)
        target = self._find_page(parts.path.removeprefix("/"), dict(parse_qsl(parts.query)), own)
        if target is None:
            return None
        if parts.path.startswith("/model/") and target.startswith("layer/"):
            return target  # what is a part of the model's page is a page here
        return target + (f"#{parts.fragment}" if parts.fragment else "")

    def _find_page(self, path: str, query: dict[str, str], own: NeuronPages | None) -> str | None:
        if path == "":
            return HOME
        if path in ("find", "search"):
            return self._find_search(query.get("q", ""))
        if path.startswith("-/neurondb/"):
            name = path.rpartition("/")[2]
            self.assets.add(name)
            return f"assets/{name}"
        if found := _MODEL_PAGE.fullmatch(path):
            return self._find_model(unquote(found[1]), query.get("layer"))
        if found := _LAYER_PAGE.fullmatch(path):
            return self._find_layer(unquote(found[1]), int(found[2]))
        if found := _NEURON_PAGE.fullmatch(path):
            return self._find_neuron(unquote(found[1]), found[2], query, own)
        if found := _TOKEN_PAGE.fullmatch(path):
            token = self.tokens.get((unquote(found[1]), int(found[2])))
            return None if token is None else self._find_search(quote_text(token))
        if found := _FIGURE.fullmatch(path):
            return self.note_figure(f"/{path}", found[1], query)
        return None

    def _find_search(self, expression: str) -> str | None:
        if not is_searchable(expression):
            return None
        return f"{SEARCH}?q={quote(expression, safe='')}" if expression else SEARCH

    def _find_model(self, model: str, layer: str | None) -> str | None:
        if model not in self.models:
            return None
        if layer is not None and layer.isdecimal():
            return self._find_layer(model, int(layer))
        return f"model/{name_folder(model)}.html"

    def _find_layer(self, model: str, layer: int) -> str | None:
        if layer not in self.models.get(model, ()):
            return None
        return f"layer/{name_folder(model)}/{layer}.html"

    def _find_neuron(
        self, model: str, name: str, query: dict[str, str], own: NeuronPages | None
    ) -> str | None:
        if own is not None and (own.model, own.name) == (model, name):
            return own.find(query)
        if name not in self.neurons.get(model, ()):
            return None
        return format_neuron_file(model, name)

    def note_figure(self, path: str, name: str, query: dict[str, str]) -> str:
        """Return the file of a chart's script, and remember that it is wanted."""
        query = {key: value for key, value in query.items() if key != "theme"}
        asked = "&".join(f"{key}={quote(query[key], safe='')}" for key in sorted(query))
        address = f"{path}?{asked}"
        return self.figures.setdefault(address, f"figures/{name}-{_digest(address)}.js")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
