"""What is told of attribute sets: rows for each subject, and the lines that sum them up."""

import pytest

from neurondb.contracts.attributes import AttributeSetsReport, SubjectSet
from neurondb.terminal.attribute_sets import COLUMNS, describe_sets, make_set_rows

NAMED = SubjectSet("Nokia", 3, 2, 14, ("Espoo", "Finland"), ("Finnish",))
SHARING = SubjectSet("New York", 1, 0, 6, (), ("subway",))
ABSENT = SubjectSet("Atlantis", 0, 0, 0, (), ("sea",))
NAMELESS = SubjectSet("York", 2, 1, 4, (), ())
REPORT = AttributeSetsReport((SHARING, NAMED, ABSENT, NAMELESS), 1_234, 0.125)


def test_rows_have_every_subject_and_its_answers() -> None:
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in make_set_rows(REPORT).rows]
    assert rows[1] == {
        "subject": "Nokia",
        "n_paragraphs": 3,
        "n_mentioning": 2,
        "n_attributes": 14,
        "n_answers": 3,
        "n_found": 2,
        "found": "Espoo; Finland",
        "missed": "Finnish",
    }
    assert (rows[3]["n_answers"], rows[3]["found"], rows[3]["missed"]) == (0, None, None)


def test_the_summary_counts_subjects_and_answers() -> None:
    assert list(describe_sets(REPORT)) == [
        "4 subjects, 5 attributes in the median, from 1,234 paragraphs",
        "subjects with paragraphs that have the whole name: 2; that have words of it only: 1; "
        "with none: 1 (Atlantis)",
        "answers in their subject's set: 2 of the 4 whose subject has one (50.0%), in another "
        "subject's set 12.5%; of all 5 answers 40.0%",
        "not in it: 2 (Nokia → Finnish, New York → subway)",
    ]


@pytest.mark.parametrize(
    ("subjects", "said"),
    [
        ((NAMELESS,), None),
        (
            (ABSENT,),
            "answers in their subject's set: 0 of the 0 whose subject has one; of all 1 "
            "answers 0.0%",
        ),
    ],
)
def test_without_answers_or_sets_no_share_is_made_up(
    subjects: tuple[SubjectSet, ...], said: str | None
) -> None:
    lines = list(describe_sets(AttributeSetsReport(subjects, 7, None)))
    assert lines[2:] == ([] if said is None else [said])


def test_many_names_are_cut() -> None:
    absent = tuple(ABSENT._replace(subject=f"s{i}", missed=()) for i in range(6))
    _, line = describe_sets(AttributeSetsReport(absent, 7, None))
    assert line.endswith("with none: 6 (s0, s1, s2, s3, s4, …)")
