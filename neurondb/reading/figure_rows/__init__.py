"""The rows that figures are drawn from: one grouped query, or one pass over a few columns."""
