"""What is stored, as files of other programs: a folder a format, whose rows come and go in chunks.

`neurondb export FORMAT` and `neurondb import FORMAT` have a command a format. What is read back
goes through `neurondb.transfer.copying`, as from one database to another.
"""
