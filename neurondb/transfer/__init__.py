"""All that is stored about models, moved whole: between databases, and to and from files.

`copying.copy_into` takes a source, whatever holds the rows, and writes it into a database; those of
`databases` are databases themselves, and `neurondb.exchange` has those of files. Rows travel in
chunks of columns, and the checksum of a relation is that of its rows in any order, the same in
every place that they lie in.
"""
