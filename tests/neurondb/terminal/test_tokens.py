"""The spike plot: heights, names, and no line too long whatever the model's depth."""

import io

import numpy as np
import pytest
from rich.cells import cell_len

from neurondb.formatting.numbers import format_compact
from neurondb.reading.lm_head import Decoding
from neurondb.reading.models import Model
from neurondb.reading.tokens import NamedToken
from neurondb.terminal.console import open_console
from neurondb.terminal.tokens import draw_lm_head_panel


def drawn(peaks: list[float], width: int = 80, layers: list[int] | None = None) -> list[str]:
    side = np.array([[peak, peak / 2] for peak in peaks])
    normalised = np.stack([side / 8, side])
    model = Model(1, "m", "m", None, "llama", True, "silu", len(peaks), 4, 2, 9, 1, 0.5, None)
    decoding = Decoding(0, normalised / 100, normalised)
    panel = draw_lm_head_panel(
        NamedToken(0, " dog"), decoding, model, {}, limit=3, width=width, layers=layers
    )
    stream = io.StringIO()
    open_console(stream, width).print(panel)
    return stream.getvalue().splitlines()


def test_heights_follow_the_values() -> None:
    lines = drawn([1, 2, 4, 8])
    plot = lines[1:8]
    heights = [sum(line.ljust(80)[8 + 6 * i] in "▁▂▃▄▅▆▇█" for line in plot) for i in range(4)]
    assert heights == [1, 2, 4, 7]
    assert plot[0].strip().startswith("8.00")
    assert lines[8].split() == ["layer", "0", "1", "2", "3"]


def test_the_tallest_are_named_and_listed() -> None:
    lines = drawn([1, 9, 2, 3, 2, 1, 8, 1])
    assert "1.0" in lines[1]
    assert "6.0" in lines[1]
    assert [line.split()[:2] for line in lines[-3:]] == [
        ["1.0", "−in"], ["6.0", "−in"], ["1.1", "−in"],
    ]  # fmt: skip


@pytest.mark.parametrize("n_layers", [1, 2, 16, 32, 80, 126, 200])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_every_depth_fits(n_layers: int, width: int) -> None:
    peaks = np.random.default_rng(n_layers).exponential(3, n_layers)
    lines = drawn([*peaks], width)
    assert max(map(cell_len, lines)) <= width
    assert lines[1].split()[0] == format_compact(peaks.max())
    folded = -(-n_layers // (width - 9))
    assert (f"{folded} layers a bar" in lines[9]) == (folded > 1)


def test_layers_left_out_have_no_bar() -> None:
    lines = drawn([5, 1, 2], layers=[1, 2])
    assert lines[1].strip().startswith("2.00")
    assert [line.split()[0] for line in lines[-3:]] == ["2.0", "1.0", "2.1"]


def test_nothing_known_is_said() -> None:
    assert "every in vector is zero" in drawn([float("nan")])[1]
