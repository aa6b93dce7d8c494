"""What can be told from a token's text: how it is read, the tests, the list of properties."""
