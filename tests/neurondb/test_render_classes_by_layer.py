"""Bars of classes: their lengths, what stands beside them, what they leave out."""

from neurondb.reading.figure_rows.classes import ClassCount
from neurondb.render.classes_by_layer import MARKS, REST, classes_by_layer
from neurondb.taxonomy import CLASSES, UNDEFINED

WIDTH = 100
COUNTS = [
    ClassCount(0, "strengthening", 10),
    ClassCount(0, "weakening", 30),
    ClassCount(0, "orthogonal output", 60),
    ClassCount(1, "conditional weakening", 20),
    ClassCount(1, "orthogonal output", 80),
    ClassCount(2, "orthogonal output", 100),
]


def drawn(width: int = WIDTH) -> list[str]:
    return classes_by_layer(COUNTS, {}, width).plain.splitlines()


def bar(line: str) -> str:
    return line.split("%")[0].strip(" 0123456789")


def test_the_longest_bar_fills_the_room_and_the_others_are_in_proportion() -> None:
    first, second, third = map(bar, drawn()[:3])
    assert len(drawn()[0]) <= WIDTH
    assert abs(len(first) / 2 - len(second)) <= 1
    assert third == ""
    assert abs(first.count("W") - 3 * first.count("S")) <= 3
    assert first == "S" * first.count("S") + "W" * first.count("W")


def test_beside_a_bar_stand_its_share_and_how_many_weaken() -> None:
    assert drawn()[0].endswith("40%  of which weakening 30")
    assert drawn()[1].endswith("20%  of which weakening 0")
    assert drawn()[2].endswith(" 0%  of which weakening 0")


def test_the_legend_names_what_is_drawn_and_what_is_left_out() -> None:
    assert "S strengthening  W weakening  K conditional weakening" in drawn()[-1]
    assert drawn()[-1].endswith(f"(left out: {REST})")
    assert all(len(line) <= 60 for line in drawn(60))


def test_every_class_has_a_mark_of_its_own() -> None:
    assert {*MARKS, REST} == {one.name for one in (*CLASSES, UNDEFINED)}
    assert len(set(MARKS.values())) == len(MARKS)


def test_colours_come_on_top() -> None:
    picture = classes_by_layer(COUNTS, {"weakening": "#1c4aa0"}, WIDTH)
    assert any(span.style == "#1c4aa0 on #1c4aa0" for span in picture.spans)


def test_no_layers_no_bars() -> None:
    assert classes_by_layer([], {}, WIDTH).plain == f"(left out: {REST})"
