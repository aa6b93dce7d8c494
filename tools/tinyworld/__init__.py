"""The little world of the bundled model: its generator, its trainer, and what of them is shipped.

`world` writes the corpus, `train` trains the model on it, `shipped` writes the texts and facts that
`ingest.bundled.tinyworld` reads. `docs/bundled-model.md` tells the whole story.
"""
