"""Whole case studies: sections, what is missing, and texts of anybody's that stay texts."""

import dataclasses
import re

import pytest
from sqlalchemy import Engine

from neurondb.contracts.annotations import Annotation
from neurondb.documents.case_study import make_document
from neurondb.documents.html import write_html
from neurondb.documents.markdown import write_markdown
from neurondb.documents.markup import Heading
from neurondb.errors import UsageError
from neurondb.reading.case_study import CaseStudy
from neurondb.reading.excerpts import Excerpt
from neurondb.reading.explanations import Explanation
from neurondb.reading.vocabulary import ScoredToken
from tests.neurondb.documents.case_studies import read_page, read_study

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a|b`c\\|d``e",
    "**bold** _x_ [l](javascript:x) ~~~",
    "line\n\n# heading\n- item\n| a | b |",
    "\x1b[31m\u202eevil\r",
    "www.evil.example @user &lt;",
)
_CELL = re.compile(r"(?<!\\)\|")


def write_both(studies: list[CaseStudy]) -> tuple[str, str]:
    document = make_document(studies, "0.1.0")
    return write_markdown(document).text, write_html(document)


def spoil(study: CaseStudy, text: str) -> CaseStudy:
    """Put a text wherever somebody else's words stand."""
    excerpt = Excerpt(text, text, text, False, False)
    lists = tuple(
        dataclasses.replace(
            listed,
            examples=tuple(dataclasses.replace(x, excerpt=excerpt) for x in listed.examples),
        )
        for listed in study.examples
    )
    extremes = tuple(dataclasses.replace(one, excerpt=excerpt) for one in study.extremes)
    vocabularies = tuple(
        dataclasses.replace(
            vocabulary,
            lists=tuple(
                dataclasses.replace(
                    of, tokens=tuple(dataclasses.replace(t, token=text) for t in of.tokens)
                )
                for of in vocabulary.lists
            ),
            lm_head=tuple(dataclasses.replace(one, token=text) for one in vocabulary.lm_head),
        )
        for vocabulary in study.vocabularies
    )
    model = dataclasses.replace(study.model, name=text, source=text)
    activations = study.summary.activations
    assert activations is not None
    dataset = dataclasses.replace(activations.dataset, name=text)
    activations = dataclasses.replace(activations, dataset=dataset)
    return dataclasses.replace(
        study,
        summary=study.summary._replace(model=model, activations=activations, dataset=dataset),
        examples=lists,
        extremes=extremes,
        vocabularies=vocabularies,
        annotations=(Annotation(text, text, text, text),),
        details=study.details._replace(
            explanations=(Explanation(text, "explanation", text, text, text, text, text),)
        ),
    )


def count_cells(markdown: str) -> list[list[int]]:
    """The number of cells of every line, table by table."""
    tables: list[list[int]] = []
    inside = False
    for line in markdown.splitlines():
        if line.startswith("|"):
            tables += [] if inside else [[]]
            tables[-1].append(len(_CELL.findall(line)) - 1)
        inside = line.startswith("|")
    return tables


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_others_wrote_becomes_markup(sample_engine: Engine, text: str) -> None:
    study = read_study(sample_engine, "sample-llama", "0.1")
    markdown, html = write_both([spoil(study, text)])
    plain_markdown, plain_html = write_both([spoil(study, "plain")])

    page, expected = read_page(html), read_page(plain_html)
    assert page.elements == expected.elements
    assert page.rows == expected.rows
    assert "script" not in page.elements
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert not set(html + markdown) & {"\x1b", "\u202e", "\r", "\x07"}

    assert len(markdown.splitlines()) == len(plain_markdown.splitlines())
    assert count_cells(markdown) == count_cells(plain_markdown)
    assert all(len(set(table)) == 1 for table in count_cells(markdown))
    outside_code = re.sub(r"`[^`\n]*`", "", markdown)
    assert not re.search(r"<(?!/?(b|a|code)\b)", re.sub(r"\\<", "", outside_code))


@pytest.mark.parametrize("model", ["sample-llama", "sample-gpt"])
def test_neurons_of_the_sample_have_whole_documents(sample_engine: Engine, model: str) -> None:
    studies = [read_study(sample_engine, model, name) for name in ("0.0", "0.3", "2.1", "3.63")]
    markdown, html = write_both(studies)
    assert all(len(set(table)) == 1 for table in count_cells(markdown))
    read_page(html)
    for study in studies:
        anchor = f"neuron-{study.identity.layer}-{study.identity.neuron}"
        assert f'id="{anchor}"' in html
        assert f'<a id="{anchor}"></a>' in markdown
        assert f"](#{anchor})" in markdown
    assert "http" not in html.split("</style>")[1].replace("http-equiv", "")
    assert "<b>Sherlock</b>" not in html + markdown


def list_sections(study: CaseStudy) -> list[str]:
    blocks = make_document([study], "0").blocks
    return [block.text for block in blocks if isinstance(block, Heading) and block.level == 3]


def test_sections_come_in_one_order(sample_engine: Engine) -> None:
    study = read_study(sample_engine, "sample-llama", "0.0")
    assert list_sections(study) == [
        *("Class", "Place in layer 0", "Vocabulary", "Sign cases"),
        *("Strongest texts of each sign case", "What fires it", "Effects", "In compared models"),
        "Not stored",
    ]


def test_of_weights_alone_the_rest_is_said_to_be_missing(sample_engine: Engine) -> None:
    study = read_study(sample_engine, "sample-llama", "1.7")
    details = study.details._replace(
        double_checking=None, properties=(), removal=None, ablations=(), clamps=(), concepts=(),
        counterparts=(),
    )  # fmt: skip
    alone = dataclasses.replace(
        study,
        summary=study.summary._replace(activations=None, dataset=None),
        vocabularies=(), examples=(), extremes=(), peaks=(), token_stats=(), by_condition=(),
        details=details,
    )  # fmt: skip
    assert list_sections(alone) == ["Class", "Place in layer 1", "Not stored"]
    markdown, html = write_both([alone])
    for stage in ("vocab", "activations"):
        assert f"the stage {stage}: `neurondb ingest" in markdown
        assert f"--stages {stage}" in html
    assert "neurondb ablate-each" in markdown
    read_page(html)


def test_a_long_token_is_shortened_and_one_without_text_has_its_id(sample_engine: Engine) -> None:
    study = read_study(sample_engine, "sample-llama", "1.7", tokens=2)
    tokens = (ScoredToken(0, 77, "x" * 9_000, 0.5, None), ScoredToken(1, 78, None, 0.4, None))
    vocabularies = tuple(
        dataclasses.replace(
            one, lists=tuple(dataclasses.replace(of, tokens=tokens) for of in one.lists)
        )
        for one in study.vocabularies
    )
    markdown, html = write_both([dataclasses.replace(study, vocabularies=vocabularies)])
    assert "`" + "x" * 23 + "…`" in markdown
    assert "`#78` +0.400" in markdown
    assert len(html) < 100_000


def test_no_neuron_makes_no_document() -> None:
    with pytest.raises(UsageError, match="no neuron"):
        make_document([], "0")
