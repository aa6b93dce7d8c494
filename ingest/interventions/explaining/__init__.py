"""One text, explained: what its neurons put out, and what that does to the logits."""
