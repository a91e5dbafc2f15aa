"""Cosines of embeddings: the same person, other people, and whom one could mix them up with."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Similarities(NamedTuple):
    """Of one probe: to its own person, the mean to all others, and to the others of its group."""

    same: float
    others: float
    group: float


def cosine(one: Float[np.ndarray, "*n d"], other: Float[np.ndarray, "*m d"]) -> np.ndarray:
    """Cosine of the angle between vectors along the last axis; NaN for a vector of length 0.

    The other axes broadcast against each other.
    """
    norms = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.sum(one * other, axis=-1) / norms)


def unit(vectors: Float[np.ndarray, "*n d"]) -> Float[np.ndarray, "*n d"]:
    """The same vectors at length 1."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def centre(embeddings: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " d"]:
    """One unit embedding for several of a person."""
    return unit(unit(embeddings).mean(axis=0))


def against(
    probe: Float[np.ndarray, " d"],
    person: str,
    references: dict[str, Float[np.ndarray, " d"]],
    group_of: dict[str, str],
) -> Similarities:
    """A probe against everybody's reference; NaN where there is nobody to compare with.

    `group_of` says, for instance, who is a man and who a woman; people it leaves out are in none.
    """

    def mean(names: Sequence[str]) -> float:
        return (
            float(np.mean([cosine(probe, references[name]) for name in names])) if names else np.nan
        )

    others = [name for name in references if name != person]
    group = group_of.get(person)
    alike = [name for name in others if group is not None and group_of.get(name) == group]
    return Similarities(mean([person] if person in references else []), mean(others), mean(alike))


def pairwise(embeddings: Float[np.ndarray, "n d"]) -> float:
    """The mean cosine over all pairs of different rows."""
    rows = unit(embeddings)
    count = len(rows)
    return float((np.sum(rows @ rows.T) - count) / (count * (count - 1)))
