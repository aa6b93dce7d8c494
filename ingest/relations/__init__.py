"""Relations between neurons, and of neurons to heads and tokens: the mathematics, on tensors.

METHODS §7 to §9; universal-neurons §4 and §5.3, for gated models and by sign case where the
definition allows. A module here computes; `ingest/jobs` opens models and stores.
"""
