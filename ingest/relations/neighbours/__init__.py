"""Neurons of one model by the cosines between their vectors: neighbours, and connections.

METHODS §8; universal-neurons App. C.2 and §5.2. `unit_rows` reads the vectors, `relation` says
which vectors of which layers a list compares, `tiles` multiplies them and keeps the largest
products, `exact` decides in float64, `baseline` does the same for random directions, and `pairs`
joins the two sides of a connection.
"""
