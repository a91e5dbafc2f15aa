"""What a code knows: whom it shows, by its nearest neighbour, and what a line reads from it."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

FOLDS = 5
RIDGE = 1e-2  # of the features' own mean square, added to it


def same_person_nearest(
    codes: Float[np.ndarray, "n d"], people: Sequence[str], clips: Sequence[str]
) -> Bool[np.ndarray, " n"]:
    """Is the nearest other code, by cosine, of the same person?

    Codes of the same clip are left out where the person has another clip: they would be too easy.
    Raises ValueError for fewer than two codes.
    """
    if len(codes) < 2:
        raise ValueError("a nearest neighbour needs another code")
    rows = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    alike = rows @ rows.T
    person, clip = np.array(people), np.array(clips)
    same_clip, same_person = clip[:, None] == clip[None, :], person[:, None] == person[None, :]
    has_another = (same_person & ~same_clip).any(axis=1)
    hidden = np.where(has_another[:, None], same_clip, np.eye(len(codes), dtype=bool))
    nearest = np.where(hidden, -np.inf, alike).argmax(axis=1)
    return person[nearest] == person


def read_linearly(
    codes: Float[np.ndarray, "n d"], values: Float[np.ndarray, " n"], people: Sequence[str]
) -> Float[np.ndarray, " n"]:
    """Each value as a line reads it from the code that was fitted to other people only.

    Ridge regression in up to FOLDS folds of people. Raises ValueError for fewer than two people.
    """
    person = np.array(people)
    names = np.unique(person)
    if len(names) < 2:
        raise ValueError("a line fitted to other people needs two")
    read = np.zeros(len(values))
    for held_out in np.array_split(names, min(FOLDS, len(names))):
        out = np.isin(person, held_out)
        centre, mean = codes[~out].mean(axis=0), values[~out].mean()
        x = codes[~out] - centre
        gram = x.T @ x
        gram[np.diag_indices_from(gram)] += RIDGE * np.trace(gram) / len(gram) + 1e-12
        line = np.linalg.solve(gram, x.T @ (values[~out] - mean))
        read[out] = (codes[out] - centre) @ line + mean
    return read


def explained(values: Float[np.ndarray, " n"], read: Float[np.ndarray, " n"]) -> float:
    """R²: the share of the variance that the readings explain, below 0 if they mislead.

    NaN where the values never change.
    """
    total = np.square(values - values.mean()).sum()
    return float(1.0 - np.square(values - read).sum() / total) if total > 1e-12 else np.nan
