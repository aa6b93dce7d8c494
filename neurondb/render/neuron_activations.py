"""A neuron's sign cases and the moments of its activations."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.reading.activations import Activations, Moments, SignCase, Spread
from neurondb.render.numbers import compact, share

DOMINANT: Final = "▶"
_SHARE_CELLS: Final = 10
_ONE_LINE: Final = 136
"""Width from which mean, minimum and maximum of every quantity fit in one line."""
QUANTITIES: Final = (("post", "hook_post"), ("pre_linear", "hook_pre_linear"), ("pre", "hook_pre"))


def activation_tables(activations: Activations, width: int) -> RenderableType:
    """Return the sign cases, the dominant one marked, and the moments of pre and post."""
    if not activations.cases:
        return _moments(activations)
    return Group(_sign_cases(activations.cases, width), Text(), _moments(activations))


def _sign_cases(cases: Sequence[SignCase], width: int) -> Table:
    # An ungated neuron has no pre_linear: x_in is its hook_pre.
    shown = [q for q in QUANTITIES if any(_spread(case, q[0]).mean is not None for case in cases)]
    wide = width >= _ONE_LINE
    table = Table(box=None, pad_edge=False, padding=(0, 1 + wide, 0, 0), header_style="faint")
    table.add_column("  sign case", no_wrap=True)
    table.add_column("tokens", justify="right")
    table.add_column("share", justify="right")
    table.add_column("", no_wrap=True)
    for _, name in shown:
        for heading in (f"{name} mean", "min", "max") if wide else (f"{name}\nmean, min … max",):
            table.add_column(heading, justify="right")
    for case in cases:
        spreads = (_spread(case, quantity) for quantity, _ in shown)
        numbers = (cell for spread in spreads for cell in _numbers_of(spread, wide=wide))
        bar = _bar(case.freq, _SHARE_CELLS if wide else 0)
        table.add_row(_name(case), f"{case.count:,}", share(case.freq), bar, *numbers)
    return table


def _spread(case: SignCase, quantity: str) -> Spread:
    found = getattr(case, quantity)
    assert isinstance(found, Spread)
    return found


def _name(case: SignCase) -> Text:
    mark = DOMINANT if case.dominant else " "
    return Text(f"{mark} {case.sign_case}", "name" if case.dominant else "")


def _bar(freq: float, cells: int) -> Text:
    halves = round(2 * cells * freq)
    shown = "█" * (halves // 2) + "▌" * (halves % 2)
    return Text(shown.ljust(cells), "region")


def _numbers_of(spread: Spread, *, wide: bool) -> Iterator[Text]:
    mean, low, high = map(compact, (spread.mean, spread.min, spread.max))
    if wide:
        yield from (Text(mean), Text(low, "faint"), Text(high, "faint"))
    else:
        yield Text.assemble(mean, "\n", (f"{low} … {high}", "faint"))


def _moments(activations: Activations) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="faint")
    table.add_column("  all tokens")
    for name in ("mean", "std", "skewness", "kurtosis", "share > 0"):
        table.add_column(name, justify="right")
    table.add_row("  hook_pre", *_numbers(activations.pre), share(activations.fires))
    table.add_row("  hook_post", *_numbers(activations.post), share(activations.post_positive))
    return table


def _numbers(moments: Moments) -> tuple[str, ...]:
    std = None if moments.variance is None else max(moments.variance, 0.0) ** 0.5
    return tuple(map(compact, (moments.mean, std, moments.skewness, moments.kurtosis)))
