"""The attribute rate: how much of what the model knows of a subject stands behind its last token.

METHODS §6; Geva et al. (2023), weakening-neurons §4 and App. D.3.
"""
