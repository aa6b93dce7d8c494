"""Write the site of chosen neurons as a folder of files, which appears when all of it is there."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from neurondb.contracts.progress import Progress
from neurondb.exchange.exports.chosen import Choice, count_neurons, iterate_neurons
from neurondb.explore.assets import read_asset
from neurondb.explore.notation import format_class_expression, quote_text
from neurondb.explore.pages.home import Example, Home
from neurondb.explore.pages.neuron.choices import Choices, list_quantities, list_sign_cases
from neurondb.explore.pages.neuron.page import NeuronContent
from neurondb.explore.site import TITLE, Page
from neurondb.explore.static_site.addresses import (
    HOME,
    INDEX_SCRIPT,
    SEARCH,
    Addresses,
    NeuronChoice,
    NeuronPages,
    format_choice,
    format_neuron_file,
    name_folder,
)
from neurondb.explore.static_site.figures import write_chart
from neurondb.explore.static_site.folder import replace_folder
from neurondb.explore.static_site.rendering import (
    WrittenSite,
    change,
    iterate_tokens,
    open_written_site,
)
from neurondb.explore.static_site.rewriting import rewrite_page
from neurondb.explore.static_site.search_index import COLUMNS, SearchIndex
from neurondb.reading.models import Model, list_models
from neurondb.schema import codes


@dataclass(frozen=True)
class StaticSite:
    """What to write.

    Attributes:
        folder: the folder to make.
        choice: the neurons that have pages; their models and all layers of these do too.
        database: its path or URL; None is the default database.
        title: the title of the site.
        force: replace what was written there before.
    """

    folder: Path
    choice: Choice
    database: str | None = None
    title: str = TITLE
    force: bool = False


@dataclass(frozen=True)
class Written:
    """What was written: neurons with pages, neurons that fit the expression, files, bytes."""

    neurons: int
    fitting: int
    files: int
    n_bytes: int


def write_static_site(wanted: StaticSite, progress: Progress) -> Written:
    """Write the site of chosen neurons into a folder.

    Raises:
        ExpressionError: when the expression cannot be understood.
        UnknownNameError: when no neuron fits, or a model is not there.
        DatabaseError: when the database cannot be read, or is no SQLite file.
        NeuronDBError: when the folder is there and may not be replaced, or cannot be written.
    """
    with (
        open_written_site(wanted.database, wanted.title) as written,
        replace_folder(wanted.folder, force=wanted.force) as folder,
    ):
        engine = written.site.engine
        fitting = count_neurons(engine, wanted.choice)
        neurons = list(iterate_neurons(engine, wanted.choice, COLUMNS))
        writer = _Writer(written, folder, neurons, progress)
        # in a thread of its own: the caller, like a notebook, may have an event loop running
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: asyncio.run(writer.write())).result()
        files = [path for path in folder.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
    return Written(len(neurons), fitting, len(files), size)


@dataclass
class _Writer:
    """Writes pages and pictures, neurons first: their tokens are what the search finds."""

    written: WrittenSite
    folder: Path
    neurons: list[dict[str, Any]]
    progress: Progress
    index: SearchIndex = field(default_factory=SearchIndex)

    def __post_init__(self) -> None:
        names = {neuron["model"] for neuron in self.neurons}
        with self.written.site.engine.connect() as connection:
            stored = [summary.model for summary in list_models(connection)]
        self.models: dict[str, Model] = {one.name: one for one in stored if one.name in names}
        self.walk: dict[str, list[str]] = {}
        for neuron in self.neurons:
            self.walk.setdefault(neuron["model"], []).append(neuron["name"])
        self.addresses = Addresses(
            {name: range(model.n_layers) for name, model in self.models.items()},
            {name: frozenset(walk) for name, walk in self.walk.items()},
        )

    async def write(self) -> None:
        await self.written.site.datasette.invoke_startup()
        with self.progress.stage("writing neurons", len(self.neurons), "neurons") as advance:
            for name, walk in self.walk.items():
                of_model = [one for one in self.neurons if one["model"] == name]
                for place, neuron in enumerate(of_model):
                    near = (
                        walk[place - 1] if place else None,
                        walk[place + 1] if place + 1 < len(walk) else None,
                    )
                    await self._write_neuron(neuron, near)
                    advance(1, f"{name} {neuron['name']}")
        n_layers = sum(model.n_layers for model in self.models.values())
        with self.progress.stage("writing layers", n_layers, "layers") as advance:
            for model in self.models.values():
                await self._write_model(model)
                for layer in range(model.n_layers):
                    path = {"model": model.name, "layer": str(layer)}
                    page = self.written.ask("layer", path)
                    await self._save(page, f"layer/{name_folder(model.name)}/{layer}.html")
                    advance(1, f"{model.name}, layer {layer}")
        await self._write_home()
        self._write_assets()
        self._write_figures()

    async def _write_neuron(
        self, neuron: dict[str, Any], near: tuple[str | None, str | None]
    ) -> None:
        """Write a neuron's pages; `near` are the names of the chosen neurons before and after."""
        model, name = self.models[neuron["model"]], neuron["name"]
        layer, _, rest = name.partition(".")
        path = {"model": model.name, "layer": layer, "neuron": rest}
        page = change(self.written.ask("neuron.page", path), previous=near[0], next=near[1])
        content = page.content
        assert isinstance(content, NeuronContent)
        own = _list_pages(model, name, content.chosen, bool(content.activations))
        self._note_tokens(neuron, content)
        for (sign_case, quantity, basis), file in own.files.items():
            if file != format_neuron_file(model.name, name):
                query = {"quantity": quantity, "basis": basis}
                query |= {} if sign_case is None else {"case": sign_case}
                answer = self.written.ask("neuron.page", path, query)
                page = change(answer, previous=near[0], next=near[1])
                self._note_tokens(None, page.content)
            await self._save(page, file, own)

    def _note_tokens(self, neuron: dict[str, Any] | None, content: object) -> None:
        """Let the search find a neuron by the tokens of its first page."""
        assert isinstance(content, NeuronContent)
        shown = (content.vocabulary, content.peaks, content.token_stats)
        found = [pair for part in shown for pair in iterate_tokens(part)]
        if neuron is not None:
            self.index.add(neuron, (token for _, token in found))
            model = neuron["model"]
            self.addresses.tokens |= {(model, token_id): token for token_id, token in found}

    async def _write_model(self, model: Model) -> None:
        page = change(self.written.ask("model", {"model": model.name}), questions=())
        await self._save(page, f"model/{name_folder(model.name)}.html")

    async def _write_home(self) -> None:
        page = self.written.ask("home", {})
        assert isinstance(page.content, Home)
        models = tuple(one for one in page.content.models if one.model.name in self.models)
        home = change(page, models=models, queries=(), examples=tuple(self._list_examples()))
        await self._save(home, HOME)
        await self._save(replace(home, template="static_search", title="Search"), SEARCH)

    def _list_examples(self) -> Iterator[Example]:
        """Yield searches that find something here, of the neuron that was asked for first."""
        first = self.neurons[0]
        if first["class"]:
            yield Example(format_class_expression(first["class"]), "a read-write class")
        yield Example(first["name"], "one neuron, layer.neuron")
        if first["top_out_token"]:
            yield Example(quote_text(first["top_out_token"]), "a token that its page shows")

    async def _save(self, page: Page, file: str, own: NeuronPages | None = None) -> None:
        """Write a page into a file of the folder."""
        html = await self.written.render(page)
        text = rewrite_page(html, file, lambda address: self.addresses.resolve(address, own))
        place = self.folder / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")

    def _write_assets(self) -> None:
        assets = self.folder / "assets"
        assets.mkdir()
        for name in sorted(self.addresses.assets - {INDEX_SCRIPT}):
            body = read_asset(name)
            if name.endswith(".js"):  # plain scripts share their names, where modules do not
                body = b'"use strict";\n(() => {\n' + body + b"})();\n"
            (assets / name).write_bytes(body)
        (assets / INDEX_SCRIPT).write_text(self.index.write(), encoding="utf-8")
        (self.folder / ".nojekyll").touch()

    def _write_figures(self) -> None:
        """Write the charts that pages show, for light and for dark."""
        figures = self.addresses.figures
        with self.progress.stage("writing figures", len(figures), "figures") as advance:
            for address, file in figures.items():
                path, _, asked = address.partition("?")
                name = path.rpartition("/")[2].removesuffix(".json")
                light, dark = (
                    json.loads(self.written.draw(name, dict(parse_qsl(asked)) | {"theme": theme}))
                    for theme in ("light", "dark")
                )
                write_chart(self.folder / file, light, dark)
                advance(1, name)


def _list_pages(model: Model, name: str, first: Choices, has_activations: bool) -> NeuronPages:
    """Return the pages of a neuron: its first, each other sign case, and the other basis."""
    shown: NeuronChoice = (first.sign_case, first.quantity, first.basis)
    files = {shown: format_neuron_file(model.name, name)}
    if has_activations:
        for case in list_sign_cases(model):
            quantity = first.quantity if first.quantity in list_quantities(case) else "hook_post"
            choice: NeuronChoice = (case, quantity, first.basis)
            files.setdefault(choice, format_neuron_file(model.name, name, format_choice(choice)))
    for basis in codes.BASES:
        choice = (first.sign_case, first.quantity, basis)
        files.setdefault(choice, format_neuron_file(model.name, name, format_choice(choice)))
    return NeuronPages(model.name, name, shown, first.dataset, files)
