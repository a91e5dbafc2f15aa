"""Words, pronunciations in braces and pause marks, as tokens and tidily spaced."""

import re

from facespeak_jax.speech.pronunciation import lexicon

MARKS = ',.?!;:—…"'
TOKEN = re.compile(r"""\{[^{}]*\}|[A-Za-z']+|[,.?!;:—…"]""")


def tidy(text: str) -> str:
    """One space between words, the strongest mark of a row, quotes in pairs, no mark first."""
    strength = {mark: rank for rank, mark in enumerate(",—:;….!?")}
    tokens = [token for token in TOKEN.findall(text) if token.strip("'")]
    quotes = tokens.count('"') // 2 * 2
    out: list[str] = []
    seen = 0
    for token in tokens:
        mark_before = next((t for t in reversed(out) if t != '"'), '"')
        if token == '"':
            seen += 1
            if seen <= quotes:
                out.append(token)
        elif token in strength:
            at = next((i for i in range(len(out) - 1, -1, -1) if out[i] != '"'), None)
            if at is None:
                continue
            if mark_before not in strength:
                out.append(token)
            elif strength[token] > strength[mark_before]:
                out[at] = token
        else:
            out.append(
                token if token[0] == "{" or lexicon.known(token.lower()) else token.strip("'")
            )
    return _spaced(out)


def _spaced(tokens: list[str]) -> str:
    text, opening = "", True
    for token in tokens:
        if token == '"':
            text += ' "' if opening else '"'
            opening = not opening
        elif token == "—":
            text += " —"
        elif token in MARKS or text.endswith(' "'):
            text += token
        else:
            text += " " + token
    return text.strip()
