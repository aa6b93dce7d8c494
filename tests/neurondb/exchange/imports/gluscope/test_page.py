"""A page of GLUScope's website becomes sign cases, examples at their peaks, and traces."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurondb.errors import TextError
from neurondb.exchange.imports.gluscope.page import PageRequest, import_pages
from neurondb.exchange.imports.report import ImportReport
from neurondb.exchange.imports.target import ModelRequest
from neurondb.published.literature import identify_model
from neurondb.reading.examples import ExampleOptions
from neurondb.reading.models import find_model, open_readonly
from neurondb.reading.neuron import PageOptions, read_neuron_page
from tests.neurondb.exchange.imports.conftest import Ask
from tests.support.shared_inputs import shared

CASES = ("gate+_in+", "gate+_in-", "gate-_in+", "gate-_in-")
QUANTITIES = ("hook_post", "hook_pre_linear", "hook_pre", "swish")
ZERO = float(np.float32(-1e-7))


def run(folder: Path, db: Path, **options: Any) -> ImportReport:
    model = ModelRequest("toy", layers=2, neurons=4)
    return import_pages(str(db), folder, PageRequest(model, "pages", **options))


def make_example(
    tokens: list[str], case: str, quantity: str, gate: list[float], in_: list[float]
) -> Any:
    """Return the content of a file, with −1e-7 for 0 where a column has nothing above it."""
    columns = {"hook_pre": np.array(gate), "hook_pre_linear": np.array(in_)}
    columns["swish"] = columns["hook_pre"] / (1 + np.exp(-columns["hook_pre"]))
    columns["hook_post"] = columns["swish"] * columns["hook_pre_linear"]
    inside = np.array(
        [
            (g > 0) == ("gate+" in case) and (i > 0) == ("in+" in case)
            for g, i in zip(gate, in_, strict=True)
        ]
    )
    first = np.where(inside, columns[quantity], 0)
    values = np.stack([first, *(columns[name] for name in QUANTITIES)], axis=1)
    for i in range(values.shape[1]):
        if (values[:, i] <= 0).all():
            values[values[:, i] == 0, i] = ZERO
    return {
        "tokens": tokens,
        "values": values.tolist(),
        "labels": [f"{case}_{quantity}", *QUANTITIES],
    }


TOKENS = ["<|endoftext|>", "Once", " again", " the", " door"]
GATE, IN = [0.5, -1.0, 2.0, 1.0, 0.5], [1.0, 1.0, -0.5, -3.0, 2.0]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    folder = tmp_path / "Toy" / "L1" / "N3"
    folder.mkdir(parents=True)
    for case in ("gate+_in-", "gate-_in+"):
        content = make_example(TOKENS, case, "hook_post", GATE, IN)
        (folder / f"{case}_hook_post_example_0.json").write_text(json.dumps(content))
    rows = ["<tr>" + "".join(f"<td>Frequency: <b>{p}%</b>.</td>" for p in (10, 60.25, 5, 24.75))]
    for quantity in QUANTITIES:
        cells = "".join(
            f"<td><b>{quantity}</b>:<br>Max: <b>{top}</b>;<br>Min: <b>{low}</b>;<br>"
            "Avg: <b>0.50</b>.</td>"
            for top, low in (
                ("3.00", "0.00"),
                ("0.00", "-2.00"),
                ("0.00", "-1.00"),
                ("4.00", "0.00"),
            )
        )
        rows.append(f"<tr>{cells}")
    (folder / "vis.html").write_text(f"<table>{'</tr>'.join(rows)}</tr></table><td>more</td>")
    return folder


def test_numbers_of_the_table_and_of_the_examples(page: Path, db: Path, ask: Ask) -> None:
    run(page, db)
    rows = ask("SELECT sign_case, count, freq, post_mean, post_min, post_max FROM sign_cases")
    post = np.array(GATE) / (1 + np.exp(-np.array(GATE))) * np.array(IN)
    assert [row[:4] for row in rows] == [
        (case, None, pytest.approx(freq), 0.5)
        for case, freq in zip(CASES, (0.1, 0.6025, 0.05, 0.2475), strict=True)
    ]
    # The extreme of a list that is there is exact; of the others the table has two decimals.
    assert [row[4:] for row in rows] == [
        (None, 3.0),
        (pytest.approx(post[3], rel=1e-12), None),
        (pytest.approx(post[1], rel=1e-12), None),
        (None, 4.0),
    ]


def test_examples_have_their_peak_and_trace(page: Path, db: Path) -> None:
    run(page.parents[1], db)
    options = PageOptions(examples=ExampleOptions(case="gate+_in-"))
    with open_readonly(str(db)) as connection:
        shown = read_neuron_page(connection, "toy", 1, 3, options)
    (example,) = shown.examples[0].examples
    assert (example.position, example.excerpt.peak) == (3, " the")
    assert example.excerpt.before == "<|endoftext|>Once again"
    assert example.trace is not None
    np.testing.assert_allclose(example.trace.hook_pre, GATE, rtol=1e-3)
    np.testing.assert_allclose(example.trace.hook_pre_linear or (), IN, rtol=1e-3)


def test_minus_a_ten_millionth_is_zero(tmp_path: Path, db: Path, ask: Ask) -> None:
    """A text in which the case does not occur is no example."""
    content = make_example(TOKENS, "gate-_in-", "hook_post", [1.0] * 5, [1.0] * 5)
    assert content["values"][0][0] == ZERO
    (tmp_path / "gate-_in-_hook_post_example_0.json").write_text(json.dumps(content))
    run(tmp_path, db, neuron="0.1")
    assert ask("SELECT COUNT(*) FROM examples") == [(0,)]


def test_the_page_again_replaces_it_by_the_same(page: Path, db: Path, ask: Ask) -> None:
    query = "SELECT * FROM example_rows UNION ALL SELECT text_id, 0, 0, 0, 0, 0, 0, text FROM texts"
    run(page, db)
    before = ask(query)
    report = run(page, db)
    assert ask(query) == before
    assert report.replaced["example"] == report.rows["example"] == 2


def test_a_page_whose_neuron_is_not_said_is_refused(tmp_path: Path, db: Path) -> None:
    (tmp_path / "gate+_in+_hook_post_example_0.json").write_text("{}")
    with pytest.raises(TextError, match="does not say which neuron it is of; give neuron="):
        run(tmp_path, db)
    with pytest.raises(TextError, match="no values for each of its tokens"):
        run(tmp_path, db, neuron="0.1")
    with pytest.raises(TextError, match="no such folder"):
        run(tmp_path / "none", db)


def test_one_page_of_a_published_model_makes_all_of_its_neurons(
    page: Path, db: Path, ask: Ask
) -> None:
    """OLMo-7B has 352,256 neurons in 32 layers (weakening-neurons, App. A)."""
    report = import_pages(str(db), page, PageRequest(ModelRequest("olmo-7b-0424"), "dolma-small"))
    assert "its size is the published one: 32 layers of 11,008 neurons" in report.notes
    assert "stored 1 neuron's statistics, 4 sign cases, 2 examples" in next(report.describe())
    assert ask("SELECT COUNT(*) FROM neurons") == [(352_256,)]
    with open_readonly(str(db)) as connection:
        model = find_model(connection, "olmo-7b-0424")
        assert identify_model(model) == "olmo-7b-0424"


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        (ModelRequest("toy"), "what the files name: 2 layers of 4 neurons"),
        (ModelRequest("olmo-7b-0424", layers=2), "the published one: 2 layers of 11,008 neurons"),
        (ModelRequest("toy", "allenai/OLMo-7B-0424-hf", neurons=8), "the published one: 32 layers"),
    ],
)
def test_a_page_says_whose_size_its_model_has(
    asked: ModelRequest, size: str, page: Path, db: Path
) -> None:
    notes = import_pages(str(db), page, PageRequest(asked, "pages")).notes
    assert any(note.startswith(f"its size is {size}") for note in notes)


def test_a_file_that_names_more_neurons_than_a_published_model_is_of_another(
    page: Path, db: Path
) -> None:
    beyond = page.rename(page.parent / "N11008")
    report = import_pages(str(db), beyond, PageRequest(ModelRequest("olmo-7b-0424"), "pages"))
    assert "its size is what the files name: 2 layers of 11,009 neurons" in report.notes


@pytest.mark.shared
def test_the_published_page_is_the_papers_neuron(db: Path, ask: Ask) -> None:
    """METHODS §5: 31.9634 of OLMo-7B-0424."""
    import_pages(
        str(db),
        shared("reference/gluscope-page"),
        PageRequest(ModelRequest("olmo", layers=32, neurons=9635), "pages"),
    )
    rows = ask("SELECT freq, post_min, post_max FROM sign_cases ORDER BY freq DESC")
    assert [round(row[0], 4) for row in rows] == [0.6770, 0.1734, 0.1467, 0.0029]
    assert [round(next(x for x in row[1:] if x), 2) for row in rows] == [-5.12, 1.58, 3.48, -0.49]
    with open_readonly(str(db)) as connection:
        shown = read_neuron_page(connection, "olmo", 31, 9634)
    peaks = {one.sign_case: one.examples[0].excerpt for one in shown.examples}
    # GLUScope §5.2: "door" (next token "often"), and "once" as in "once again".
    assert peaks["gate+_in+"].peak == " door"
    assert peaks["gate+_in+"].after.startswith(" often")
    assert (peaks["gate-_in-"].peak, peaks["gate-_in-"].after[:6]) == (" Once", " again")
