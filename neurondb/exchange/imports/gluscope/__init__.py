"""What GLUScope publishes of a gated model's activations (Gerstner & Schütze, `gluscope` §4).

Its activation dataset (`activation_dataset.py`), the `summary.pt` that the dataset is made of
(`summary_file.py`), the pages of its website (`page.py`). All of them have, for each of the four
sign cases, its frequency, and for each quantity its mean and its sixteen largest |values| with the
texts that they occurred in; `columns.py` says what they are called, `rows.py` makes rows of them.

The quantities of a case have one sign each, so of minimum and maximum the file has the end that is
away from zero; the other stays NULL. `swish` has no extremes where the gate is positive: there it
grows with hook_pre. Values are in canonical sign if GLUScope ran with `--refactor_glu`, as it did
for all that it has published (METHODS §1).
"""
