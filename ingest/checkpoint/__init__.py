"""Checkpoints: a model's name or directory becomes tensors, settings and a fingerprint."""
