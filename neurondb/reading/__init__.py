"""What is known, as frozen dataclasses: a neuron's page, the models, what has been ingested.

Every function takes an open connection and asks a few queries by primary key; the terminal
(`neurondb.render`), JSON and the web pages show the same objects.
"""
