"""The find language: an expression such as `weakening freq>0.6`, the neurons that it describes.

`search` runs an expression; `lexer`, `grammar`, `values`, `keywords` and `columns` read it into the
tree of `terms`, in which `names` and `token_names` look up what a database calls things; `compiler`
turns the tree into SQL. `empty_answers`, `coverage` and `gates` say why nothing was found.
`neuron_sets` chooses the neurons that jobs work on. docs/find.md describes the language to users.
"""

from neurondb.find.search import count, explain_empty, find

__all__ = ["count", "explain_empty", "find"]
