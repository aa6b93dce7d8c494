"""Concepts: words and phrases, the directions that stand for them, and neurons proven by cause.

METHODS §4, §6; specialised-feature-neurons, generalised to several tokens, all three vectors of a
neuron, and directions of the residual stream.
"""
