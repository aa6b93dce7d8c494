"""What neurons do on a dataset: activations are reduced, batch by batch, to sums (METHODS §5)."""
