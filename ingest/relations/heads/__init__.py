"""Neurons and attention heads: who raises or lowers a head's attention to BOS (METHODS §7).

A head whose output where it attends to BOS is small is turned off by attending there
(universal-neurons §5.3). `directions` reads from a running model what of the residual stream
raises each head's attention to BOS, `scores` compares neurons with it, `watching` sees attention
while the model runs, `path_ablation` takes a neuron out of one head's query, and `head_norms`
measures what heads write at BOS and elsewhere.
"""
