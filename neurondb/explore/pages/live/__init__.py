"""The pages of the live model: a prompt explained, and run again with some neurons changed."""
