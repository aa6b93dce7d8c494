"""Examples token by token: colours, marks, equal windows folded."""

from neurondb.explore.pages.neuron.windows import AFTER, BEFORE, build_window_list
from neurondb.reading.examples import Example
from neurondb.reading.excerpts import Excerpt
from neurondb.reading.traces import Trace

NAN = float("nan")


def example(
    rank: int, tokens: str = "abcde", *, peak: int = 2, first: int = 10, trace: Trace | None = None
) -> Example:
    parts = tuple(tokens)
    excerpt = Excerpt(tokens[:peak], tokens[peak], tokens[peak + 1 :], False, False, first, parts)
    return Example(rank, 70 + rank, rank, first + peak, 2.0 - rank / 10, excerpt, trace)


def trace(*post: float, start: int = 10, gated: bool = True) -> Trace:
    gate = tuple(range(len(post)))
    return Trace(start, post, tuple(-v for v in gate) if gated else None, tuple(map(float, gate)))


def test_the_largest_value_of_the_list_is_the_full_colour() -> None:
    first, second = trace(0.5, -1.0, 2.0, 0.0, NAN), trace(0.0, 0.0, -4.0, 0.0, 0.0)
    found = build_window_list(
        "case", "hook_post", [example(0, trace=first), example(1, "vwxyz", trace=second)]
    )
    assert found.scale == 4.0
    before, after = found.before(found.windows[0]), found.after(found.windows[0])
    assert [piece.level for piece in (*before, *after)] == [0.125, -0.25, 0.5, 0.0, None]
    assert [piece.sign for piece in (*before, *after)] == ["p", "n", "p", "", ""]
    assert [piece.percent for piece in (*before, *after)] == [12, 25, 50, 0, 0]
    assert after[0].values == "gate 2.00, in -2.00, post 2.00"
    assert after[2].values == "gate 4.00, in -4.00, post nan"


def test_a_quantity_of_the_gate_is_coloured_by_the_gate() -> None:
    for quantity in ("hook_pre", "swish"):
        found = build_window_list(
            "case", quantity, [example(0, trace=trace(9.0, 9.0, 9.0, 9.0, 9.0))]
        )
        assert (found.colour, found.scale) == ("hook_pre", 4.0)


def test_ungated_tokens_say_in_and_post() -> None:
    values = trace(1.0, 1.0, 1.0, 1.0, 1.0, gated=False)
    found = build_window_list("in+", "hook_post", [example(0, trace=values)])
    assert found.after(found.windows[0])[0].values == "in 2.00, post 1.00"


def test_the_peak_and_the_next_token_are_marked() -> None:
    found = build_window_list("case", "hook_post", [example(0)])
    assert [piece.mark for piece in found.after(found.windows[0])] == ["peak", "next", ""]
    assert [piece.text for piece in found.after(found.windows[0])] == ["c", "d", "e"]
    assert [piece.text for piece in found.before(found.windows[0])] == ["ab"]
    peak = found.after(found.windows[0])[0]
    assert (peak.level, peak.sign, peak.values) == (1.0, "p", None)


def test_equal_windows_are_one_with_the_others_as_twins() -> None:
    twins = [example(0), example(1, "xbcde"), example(2), example(3, first=500)]
    found = build_window_list("case", "hook_post", twins)
    assert found.stored == 4
    assert [window.rank for window in found.windows] == [0, 1]
    assert [twin.rank for twin in found.windows[0].twins] == [2, 3]
    assert found.windows[0].twins[1].position == 502


def test_windows_differ_only_by_what_is_near_the_peak() -> None:
    near = "n" * BEFORE + "p" + "n" * AFTER
    same = [example(rank, far + near + far, peak=BEFORE + 1) for rank, far in enumerate("xy")]
    assert len(build_window_list("case", "hook_post", same).windows) == 1
    other = example(2, "x" + near[:-1] + "mx", peak=BEFORE + 1)
    assert len(build_window_list("case", "hook_post", [*same, other]).windows) == 2


def test_nothing_in_a_token_acts() -> None:
    found = build_window_list("case", "hook_post", [example(0, "a\u202e\x1b\n\u200b")])
    shown = "".join(piece.text for piece in found.after(found.windows[0]))
    assert shown == "\\x1b⏎\\u200b"
    long = Excerpt("", "w" * 10_000, "", True, True, 0, ("w" * 10_000,))
    (window,) = build_window_list("c", "hook_post", [Example(0, 1, 0, 0, 1.0, long)]).windows
    assert len(build_window_list("c", "hook_post", []).windows) == 0
    assert len(found.after(window)[0].text) == 61
