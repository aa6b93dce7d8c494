"""Counts packed as a database stores them, once more and by hand."""


def leb128(count: int) -> bytes:
    """Return a count as it is stored: seven bits a byte, the eighth set where more follow."""
    return (
        bytes((count & 127,)) if count < 128 else bytes((count & 127 | 128,)) + leb128(count >> 7)
    )
