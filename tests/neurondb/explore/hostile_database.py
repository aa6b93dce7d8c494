"""The sample database with every text that came from outside replaced by something hostile."""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Table, insert, select, update

from neurondb.database import connect, parse_url
from neurondb.schema import tables
from tests.support.sample_database import build
from tests.support.sample_explanations import SOURCE

SCRIPT: Final = "<script>alert(1)</script>"
IMAGE: Final = "\"><img src=x onerror='alert(2)'>"
CLOSING: Final = "</script></title></style></textarea><svg onload=alert(3)>"
TEMPLATE: Final = "{{7*7}}{% raise %}${7*7}#{7*7}"
OVERRIDE: Final = "\u202eevil\u2066\u2069\u202c"
INVISIBLE: Final = "a\u200db\u200b\ufeff\u00ad"
CONTROLS: Final = "a\x00b\x1b[31m\x07\x08\x7f\x85"
COMBINING: Final = "\u0301" * 200
LONG: Final = "W" * 10_000
ADDRESS: Final = "javascript:alert(4)"
LINES: Final = "a\r\nSet-Cookie: evil=1\r\n\r\n<b>"
QUOTES: Final = "'\"`;-- DROP TABLE models; \\' &amp; &#x3c;"
PAYLOADS: Final = (
    *(SCRIPT, IMAGE, CLOSING, TEMPLATE, OVERRIDE, INVISIBLE, CONTROLS),
    *(COMBINING, LONG, ADDRESS, LINES, QUOTES),
)
ALL: Final = "/".join(one for one in PAYLOADS if one != LONG)
"""All but the long one, as one name: in an address too."""
NAME: Final = f"{SCRIPT}{IMAGE}{TEMPLATE}{OVERRIDE}\u200b/\x00"
NAMES: Final = {1: NAME, 2: ADDRESS}
"""Model → its name."""
DANGEROUS: Final = (
    "\u202e",
    "\u2066",
    "\u200d",
    "\u200b",
    "\ufeff",
    "\x00",
    "\x1b",
    "\x07",
    "\x08",
)
"""Characters that act on a page without being seen."""


def build_hostile(path: Path) -> Path:
    """Write the database and return where it is."""
    build(path)
    engine = connect(parse_url(str(path)), writing=True)
    with engine.begin() as connection:
        for model_id, name in NAMES.items():
            row = {"name": name, "source": ALL, "revision": ALL, "architecture": SCRIPT}
            m = tables.models
            connection.execute(
                update(m).where(m.c.model_id == model_id).values(row | {"activation": IMAGE})
            )
        _spread(connection, tables.tokens, "token", "piece")
        _spread(connection, tables.texts, "text")
        _spread(connection, tables.properties, "name", "description")
        _spread(connection, tables.labels, "label")
        _spread(connection, tables.dataset_rows, "name", "source")
        _spread(connection, tables.attribute_runs, "prompts", "sets", "definition")
        _spread(connection, tables.generation_runs, "prompt", "ablated")
        _spread(connection, tables.generation_texts, "text")
        _said(connection)
        _explained(connection)
        _intervened(connection)
        _computed(connection)
    engine.dispose()
    return path


def _spread(connection: Connection, table: Table, *columns: str) -> None:
    """Give the rows of a table the payloads in turn; a number keeps unique what has to be."""
    keys = list(table.primary_key.columns)
    for i, row in enumerate(connection.execute(select(*keys).order_by(*keys)).all()):
        payload = PAYLOADS[i % len(PAYLOADS)] + (str(i) if i >= len(PAYLOADS) else "")
        statement = update(table).values(dict.fromkeys(columns, payload))
        for key, value in zip(keys, row, strict=True):
            statement = statement.where(key == value)
        connection.execute(statement)


def _said(connection: Connection) -> None:
    """Annotate two neurons with everything."""
    connection.execute(
        insert(tables.annotations),
        [
            {"neuron_id": neuron_id, "source": one, "key": one, "value": one, "note": one}
            for neuron_id in (0, 65)
            for one in PAYLOADS
        ],
    )


def _explained(connection: Connection) -> None:
    """Have a program say everything of a neuron that the sample's scored."""
    said = {"neuron_id": 0, "source": SOURCE, "value": ALL, "note": ALL}
    connection.execute(
        insert(tables.annotations), [said | {"key": key} for key in ("explanation", SCRIPT)]
    )
    connection.execute(update(tables.explanations).values(version=ALL, command=ALL))
    connection.execute(update(tables.explanation_scores).values(scorer=ALL))


def _intervened(connection: Connection) -> None:
    """Store an ablation of a set whose name, definition and provenance are hostile."""
    connection.execute(
        insert(tables.neuron_sets), {"set_id": 1, "name": ALL, "definition": LONG + ALL}
    )
    members = [{"set_id": 1, "neuron_id": n} for n in (0, 65)]
    connection.execute(insert(tables.neuron_set_members), members)
    run = {"run_id": 1, "model_id": 1, "dataset_id": 1, "set_id": 1, "mode": "zero"}
    run |= {"dtype": TEMPLATE, "device": OVERRIDE, "tool_version": CONTROLS, "created_at": SCRIPT}
    connection.execute(insert(tables.ablation_runs), run)
    result = {"run_id": 1, "metric": "entropy", "n": 10, "mean": -0.5}
    connection.execute(
        insert(tables.ablation_results), [result | {"filter": one} for one in ("all", "changed")]
    )
    bins = {"run_id": 1, "metric": "entropy", "low": -1.0, "high": 0.0, "n": 10}
    connection.execute(insert(tables.ablation_histograms), bins)


def _computed(connection: Connection) -> None:
    """Store a run whose provenance is hostile, and that the model read the texts."""
    words = ("tool_version", "torch_version", "fingerprint", "stages", "dtype", "device")
    run = dict.fromkeys(words, ALL) | {"model_id": 1, "dataset_id": 1, "seed": 0}
    run |= dict.fromkeys(("fold", "center", "fold_post_norm", "canonicalise"), True)
    connection.execute(insert(tables.ingest_runs), run | {"started_at": ALL, "finished_at": ALL})
    read = {"max_len": 1024, "prefix_token_id": 0, "skip_bos": False}
    read |= {"model_id": 1, "dataset_id": 1, "n_tokens": 60, "n_truncated": 0}
    connection.execute(insert(tables.tokenizations), read)
    model = {"model_a": 1, "model_b": 2, "tool_version": ALL}
    connection.execute(update(tables.comparisons).values(model | {"created_at": ALL}))
