"""Universality: which neurons of one model fire where a neuron of another one does (METHODS §8).

`layer_pairs` says which layers are compared and in how many passes over the texts, `alignment`
which tokens of two models stand for the same place of a text, `sign_cases` restricts activations
to a sign case, `products` adds what correlations are made of, `matching` makes correlations of it,
`comparison` runs two models side by side.
universal-neurons §4.1 and App. B.2.
"""
