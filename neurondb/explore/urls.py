"""Addresses of the site. Every link is made here, so that base_url and quoting hold everywhere."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from neurondb.sql.written_out import fill_parameters


class Urls:
    """Addresses below a base, which ends in a slash; `database` is that of Datasette's page."""

    def __init__(self, base: str, database: str) -> None:
        self._base = base
        self._database = database.removeprefix(base)

    def home(self) -> str:
        """Return the address of the first page."""
        return self._base

    def search(self, text: str | None = None) -> str:
        """Return the address that finds a text: an expression, a neuron, a token."""
        return self._address("search", q=text)

    def search_texts(self, text: str) -> str:
        """Return the address of the texts that contain words, whatever else they may mean."""
        return self._address("search", q=text, **{"in": "texts"})

    def model(self, model: str) -> str:
        """Return the address of a model's page."""
        return self._address(f"model/{_quote_part(model)}")

    def layer(self, model: str, layer: int) -> str:
        """Return the address of a layer's page."""
        return self._address(f"layer/{_quote_part(model)}/{layer}")

    def neuron(self, model: str, name: str, **options: str | None) -> str:
        """Return the address of a neuron's page; `name` is `L.N`."""
        return self._address(f"neuron/{_quote_part(model)}/{name}", **options)

    def case_study(self, model: str, name: str, form: str, **options: str | None) -> str:
        """Return the address of a neuron's case study; `form` is html or md."""
        return self._address(f"neuron/{_quote_part(model)}/{name}/case-study.{form}", **options)

    def connections(self, model: str, name: str, **options: str | None) -> str:
        """Return the address of the graph around a neuron: who feeds it, and whom it feeds."""
        return self._address(f"connections/{_quote_part(model)}/{name}", **options)

    def token(self, model: str, token_id: int) -> str:
        """Return the address of a token's page."""
        return self._address(f"token/{_quote_part(model)}/{token_id}")

    def text(self, text_id: int, **options: str | None) -> str:
        """Return the address of a text's page by its id, which is of this database alone."""
        return self._address(f"text/{text_id}", **options)

    def text_of(self, dataset: str, ordinal: int | str, **options: str | int | None) -> str:
        """Return the lasting address of a text's page: its dataset, and its place in it."""
        return self._address(f"text/{_quote_part(dataset)}/{ordinal}", **options)

    def find(self, expression: str, **options: str | int | None) -> str:
        """Return the address of the neurons that an expression describes."""
        return self._address("find", q=expression, **options)

    def rows(self, expression: str, form: str, **options: str | None) -> str:
        """Return the address of all neurons that an expression describes, as csv or ndjson."""
        return self._address(f"find.{form}", q=expression, **options)

    def random(self, model: str) -> str:
        """Return the address that leads to some neuron of a model."""
        return self._address(f"random/{_quote_part(model)}")

    def live(self, model: str, **options: str | int | None) -> str:
        """Return the address at which a model explains prompts."""
        return self._address(f"live/{_quote_part(model)}", **options)

    def intervene(self, model: str) -> str:
        """Return the address that takes the form of neurons to change in a prompt."""
        return self._address(f"live/{_quote_part(model)}/intervene")

    def annotate(self) -> str:
        """Return the address that takes the form of an annotation."""
        return self._address("annotate")

    def lists(self) -> str:
        """Return the address of the lists of neurons."""
        return self._address("lists")

    def neuron_list(self, name: str, **options: str | int | None) -> str:
        """Return the address of one list of neurons."""
        return self._address(f"list/{_quote_part(name)}", **options)

    def embed(self, model: str, name: str, **options: str | None) -> str:
        """Return the address of a neuron's card, which other sites may show in a frame."""
        return self._address(f"embed/{_quote_part(model)}/{name}", **options)

    def oembed(self, address: str) -> str:
        """Return the address that tells other sites how to show a page of this one."""
        return self._address("oembed", url=address, format="json")

    def run(self, run_id: int | str) -> str:
        """Return the address of a run of interventions; as of all runs, by its number or digest."""
        return self._address(f"run/{run_id}")

    def concept(self, run_id: int | str) -> str:
        """Return the address of a concept run."""
        return self._address(f"concept/{run_id}")

    def entropy(self, run_id: int | str) -> str:
        """Return the address of an entropy run."""
        return self._address(f"entropy/{run_id}")

    def attributes(self, run_id: int | str) -> str:
        """Return the address of a run of attribute rates."""
        return self._address(f"attributes/{run_id}")

    def generation(self, run_id: int | str) -> str:
        """Return the address of texts that a model generated."""
        return self._address(f"generation/{run_id}")

    def pair(self, left: tuple[str, str], right: tuple[str, str]) -> str:
        """Return the address of two neurons side by side, each a model and `L.N`."""
        return self._address("pair", left="/".join(left), right="/".join(right))

    def pair_form(self) -> str:
        """Return the address that asks for two neurons."""
        return self._address("pair")

    def comparison(self, before: str, after: str) -> str:
        """Return the address of two models side by side."""
        return self._address(f"compare/{_quote_part(before)}/{_quote_part(after)}")

    def series(self, series_id: int | str) -> str:
        """Return the address of a series of models."""
        return self._address(f"series/{series_id}")

    def figure(self, name: str, form: str, **options: str | int | None) -> str:
        """Return the address of a figure in a form: json, svg, png."""
        return self._address(f"figure/{_quote_part(name)}.{form}", **options)

    def database(self) -> str:
        """Return the address of the tables, queries and editor in Datasette."""
        return self._address(self._database)

    def sql(self, statement: str, parameters: Mapping[str, object] | None = None) -> str:
        """Return the address of a statement in Datasette's editor, its values written out."""
        return self._address(self._database, sql=fill_parameters(statement, parameters or {}))

    def sql_rows(self, statement: str, parameters: Mapping[str, object] | None = None) -> str:
        """Return the address of a statement's rows as CSV, as many as Datasette gives at once."""
        statement_filled = fill_parameters(statement, parameters or {})
        return self._address(f"{self._database}.csv", sql=statement_filled, _size="max")

    def table(self, name: str, **filters: str | int | None) -> str:
        """Return the address of a table or view in Datasette."""
        return self._address(f"{self._database}/{_quote_part(name)}", **filters)

    def query(self, name: str, **parameters: str | int | None) -> str:
        """Return the address of a named query."""
        return self._address(f"{self._database}/{_quote_part(name)}", **parameters)

    def static(self, name: str) -> str:
        """Return the address of a file of static/."""
        return self._address(f"-/neurondb/{name}")

    def _address(self, path: str, **query: object) -> str:
        parameters = {key: str(value) for key, value in query.items() if value is not None}
        return (
            self._base + path + (f"?{urlencode(parameters, quote_via=quote)}" if parameters else "")
        )


def _quote_part(text: str) -> str:
    """Quote a part of a path; a name that ends like a format of a page is not mistaken for it."""
    quoted = quote(text, safe="")
    return f"{quoted[:-5]}%2Ejson" if quoted.endswith(".json") else quoted
