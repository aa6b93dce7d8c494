"""CircuitsVis: a page of examples whose tokens are coloured by the neuron, which needs no network.

It shows what `circuitsvis.activations.text_neuron_activations(tokens, activations)` of
TransformerLensOrg/CircuitsVis shows, red for positive and blue for negative values, but as HTML
with no script: that function's own output loads its library from a host. The arguments of that
function stand beside each example as JSON (`<script type="application/json" class="circuitsvis">`,
with `tokens` and `activations` of shape tokens × layers × neurons, here × 1 × 1), for who wants to
go on in a notebook.
"""

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import IO, Final

from neurondb.atomic import open_atomic
from neurondb.contracts.progress import Progress
from neurondb.exchange.exports.evidence import ChosenModel, Evidence, Passage
from neurondb.formatting.numbers import format_compact
from neurondb.formatting.text import make_visible

_DIGITS: Final = 4
_STRONGEST: Final = 0.6
"""Opacity of the largest value, through which a token can still be read."""
_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1d21; --ground: #fff; --faint: #5c6068; --line: #dfdfda;
  --positive: 255, 0, 0; --negative: 0, 0, 255; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e6; --ground: #17181b; --faint: #a2a6ae;
  --line: #34363b; --positive: 255, 90, 70; --negative: 90, 140, 255; } }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: var(--ink);
  background: var(--ground); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 0; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
.faint { color: var(--faint); margin: .2rem 0; }
.text { margin: .3rem 0; padding: .4rem 0; border-top: 1px solid var(--line); }
.text p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.7; }
.text small { color: var(--faint); }
.t { border-radius: .2em; padding: .1em 0; }
.p { background: rgba(var(--positive), var(--v)); }
.n { background: rgba(var(--negative), var(--v)); }
.peak { outline: 1px solid currentColor; }
"""


def export_circuitsvis(chosen: ChosenModel, file: Path, progress: Progress) -> int:
    """Write the chosen neurons into one HTML file; return how many examples there are.

    Raises:
        NeuronDBError: when it cannot be written; what was there stays.
    """
    title = f"Neurons of {chosen.model.name}"
    n = 0
    with (
        open_atomic(file) as stream,
        progress.stage("exporting", chosen.n_neurons, "neurons") as advance,
    ):
        _write(stream, _begin(title))
        for evidence in chosen.read():
            _write(stream, "".join(_write_neuron(evidence)))
            n += len(evidence.passages)
            advance(1, evidence.name)
        _write(stream, "</body>\n</html>\n")
    return n


def _write(stream: IO[bytes], text: str) -> None:
    stream.write(text.encode())


def _begin(title: str) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{_show(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{_show(title)}</h1>\n"
        '<p class="faint">hook_post of each token, in canonical sign; red is above zero, blue '
        "below, the deeper the larger. The peak is framed. Point at a token for its value.</p>\n"
    )


def _write_neuron(evidence: Evidence) -> Iterator[str]:
    about = " · ".join(part for part in (evidence.class_name, evidence.description) if part)
    yield f'<section id="n{escape(evidence.name)}">\n<h2>{_show(evidence.name)}</h2>\n'
    yield f'<p class="faint">{_show(about)}</p>\n'
    for sign, words in ((">", "hook_post above zero"), ("<", "hook_post below zero")):
        passages = [one for one in evidence.passages if (one.values[one.peak] > 0) == (sign == ">")]
        passages.sort(key=lambda one: -abs(one.values[one.peak]))
        if passages:
            yield f"<h3>{words}</h3>\n"
        for passage in passages:
            scale = max(abs(value) for one in passages for value in one.values)
            yield _write_passage(passage, scale or 1.0)
    if not evidence.passages:
        yield '<p class="faint">No examples of it are stored.</p>\n'
    yield "</section>\n"


def _write_passage(passage: Passage, scale: float) -> str:
    tokens = "".join(
        _write_token(token, value, scale, known=passage.whole, peak=place == passage.peak)
        for place, (token, value) in enumerate(zip(passage.tokens, passage.values, strict=True))
    )
    arguments = {
        "tokens": list(passage.tokens),
        "activations": [[[round(value, _DIGITS)]] for value in passage.values],
    }
    where = "" if passage.text is None else f", text {passage.text}"
    note = "" if passage.whole else "; only the value of the peak is stored"
    data = json.dumps(arguments, ensure_ascii=False).replace("<", "\\u003c")
    return (
        f'<div class="text"><small>{format_compact(passage.values[passage.peak])}, '
        f'{passage.sign_case.replace("-", "−")}{where}{note}</small>\n<p dir="auto">{tokens}</p>\n'
        f'<script type="application/json" class="circuitsvis">{data}</script></div>\n'
    )


def _write_token(token: str, value: float, scale: float, *, known: bool, peak: bool) -> str:
    if not (known or peak):
        return _show(token)
    kind = "p" if value > 0 else "n"
    strength = _STRONGEST * abs(value) / scale
    marks = f"t {kind}{' peak' if peak else ''}"
    title = format_compact(value)
    return f'<span class="{marks}" style="--v:{strength:.2f}" title="{title}">{_show(token)}</span>'


def _show(text: str) -> str:
    return escape(make_visible(text))
