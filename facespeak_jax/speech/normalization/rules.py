"""What the normaliser's rules are: patterns with what takes their place, applied in order."""

import re
from collections.abc import Callable

Action = str | Callable[[re.Match[str]], str]  # as the second argument of re.sub
Rules = list[tuple[str, Action] | tuple[str, Action, int]]  # pattern, action and, rarely, flags


def compiled(*groups: Rules) -> list[tuple[re.Pattern[str], Action]]:
    """The rules of all groups in their order, with compiled patterns."""
    return [
        (re.compile(pattern, *flags), action)
        for group in groups
        for pattern, action, *flags in group
    ]
