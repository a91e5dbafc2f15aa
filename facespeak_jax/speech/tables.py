"""Small tables written as text, so that they read as lists and not as punctuation."""


def table(entries: str) -> dict[str, str]:
    """ "km kilometer, fps frames per second" -> {"km": "kilometer", "fps": "frames per second"}."""
    pairs = (entry.split(None, 1) for entry in entries.split(",") if entry.strip())
    return {key: value.strip() for key, value in pairs}


def words(entries: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(entries.split())
