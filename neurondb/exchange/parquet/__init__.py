"""A folder of Parquet: a dataset a relation, under `model=…/layer=…`, and a card that describes it.

Each table is there under the name of the view that people ask, with words in place of codes, and
with names beside ids (model, layer, neuron, token). Words and codes stand for each other one to
one, and what is beside follows from the rest, so that the tables can be made of the files again.
"""
