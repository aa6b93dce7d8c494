"""What the literature says of models, held against what a database holds of them.

`verification` compares a stored model with the figures published for it, line by line; `patterns`
looks for what the papers found in all models. Nothing here runs a model or needs its weights.
"""
