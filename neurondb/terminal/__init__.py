"""Rows and pages of the database as a terminal, a file or a pipe shows them."""
