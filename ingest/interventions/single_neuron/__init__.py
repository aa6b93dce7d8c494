"""Neurons intervened on one at a time, and first-order estimates of what that does (METHODS §6)."""
