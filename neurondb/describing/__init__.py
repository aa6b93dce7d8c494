"""One-line descriptions of neurons, composed of what is stored, without a language model.

`evidence` is what is known of one neuron, `parts` says which of it stands out of chance and how
much, `composing` makes the line; `layer_evidence` and its neighbours read whole layers.
"""
