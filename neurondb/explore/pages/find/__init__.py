"""The neurons that an expression describes: a page of them, all their rows, their summary."""
