"""From rows to what is shown: frozen dataclasses, read by a few queries over an open connection.

The terminal, JSON and the web pages show the same objects. One module per thing that is looked at:

- `models` opens a database and finds a model; `status` says what of it is ingested, `provenance`
  which runs made it, `integrity` whether it is whole;
- `neuron` is one neuron with all its panels: `verdict` (cosines and class), `activations`,
  `examples` with their `excerpts` and `traces`, `vocabulary`, `removal`; `neuron_table` is many
  neurons in a line each, `layers` a line for each layer, `arrays` whole columns for figures;
- `tokens` are a vocabulary's, `token_neurons` and `lm_head` the neurons that read and write them;
- `texts` are datasets and their texts;
- `runs` and `effects` are interventions, `run_page` one of them, `ablation_values` what they need;
- `pairs` and `comparisons` are two models side by side.
"""
