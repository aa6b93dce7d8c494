"""Values as text: numbers, cells of a table, tokens and texts, commands, JSON documents.

The terminal, the site, the figures and the messages of errors all write values by these functions,
so that a cosine or a token looks the same everywhere. They know values, not the database.
"""
