"""Texts: datasets and prompts are read, and become token ids of a model's tokenizer."""
