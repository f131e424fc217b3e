"""Pointing at a picture and drawing with the pointer."""


def available() -> bool:
    """Return whether the optional library is installed."""
    return False
