"""`ult demo`: the whole path on data that ships inside dependencies."""


def demo() -> None:
    """Show the whole path."""
