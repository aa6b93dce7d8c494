"""Contracts between those who ask for a computation, those who compute and those who store.

A module a command holds its request and its result: `ingest` (with `merge`, `demo` and `verify`),
`tokens` (with `split`), `compare`, `ablate` (with `rerun` and `ablate-suite`), `single_neuron`
(`ablate-each` and `attribute`), `clamp`, `generate`, `prompt` (with `activations`), `entropy` and
`attributes`. What several requests share is in `inputs`. The stages of `ingest` hand over records,
a layer at a time: `model`, `weights`, `vocabulary`, `activations` and `texts`. `progress` is how a
job says what it is doing, and `registry` is where `load_job(name)` finds it.

Requests and results are frozen; arrays carry their shapes in their annotations.
"""
