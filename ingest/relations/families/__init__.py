"""Families of neurons: how much of what they do a test of tokens explains (METHODS §9).

Source: universal-neurons §4.3, Appendix C. `catalogue` has the tests of a token's text, `words` the
frequent words and places in a word, `syntax` the tags of spaCy; `labelling` says which tests hold
for which tokens of a batch, `sums` adds activations by test, `scores` makes reductions in variance
of them, and `distributions` what box plots of some neurons are drawn from.
"""
