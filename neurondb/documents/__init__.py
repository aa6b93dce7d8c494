"""Documents to send to a colleague: a page that needs nothing else, and Markdown.

`markup` has the blocks that a document is made of, `html` and `markdown` write them, `svg` prepares
figures, `saving` puts all files of a document into a folder at once.
"""
