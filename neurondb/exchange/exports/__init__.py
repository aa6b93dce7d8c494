"""What is stored, as other programs' files: a module a format, over what `evidence.py` reads.

A folder or file appears when all of it is there. Neurons come one after another, so that memory is
that of one batch. Values are in the canonical sign that NeuronDB stores (METHODS §1 and §5).
"""
