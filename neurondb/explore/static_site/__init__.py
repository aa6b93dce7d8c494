"""The site as plain files: pages of chosen neurons, their layers and models, and a search.

The pages are those that `neurondb serve` shows, by the same views and templates. Their links are
made relative, so that the folder works below any address and from a disk; a link to what has no
file becomes text; charts are pictures; the search is a script over a small index.
"""
