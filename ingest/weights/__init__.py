"""The analysis of weights: preprocessing, cosines, baselines, the null space (METHODS §1–4)."""
