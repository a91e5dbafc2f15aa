"""Pronunciations of words no dictionary lists, by a joint n-gram model of spelling and sound.

A word is a sequence of graphones, pairs of one or two letters with up to two phones ("ph" : F).
Their sequence follows a backed-off n-gram model stored as a trie (Bisani & Ney 2008,
"Joint-sequence models for grapheme-to-phoneme conversion"). `g2p_training` makes the model from the
dictionary.
"""

import io
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from facespeak_jax.speech.pronunciation import lexicon

LETTERS = "abcdefghijklmnopqrstuvwxyz'"
END = 0  # the graphone that ends every word
LOG_STEP = 0.05  # resolution of the stored log-probabilities, natural log
BEAM = 64  # partial words kept at every letter
WINDOW = 12.0  # natural log: partial words this much worse than the best are dropped at once
UNSTRESSED = 20.0  # natural log: cost of a word without primary stress
SHORTLIST = 12  # pronunciations weighed against each other at the end
SHARPNESS = 0.8  # of their weights; 1 is the model's own belief


@dataclass(frozen=True)
class Graphone:
    """One or two letters and the zero to two phones they stand for."""

    letters: str
    phones: tuple[str, ...]


@dataclass(frozen=True)
class JointModel:
    """Backed-off n-gram model over graphones.

    The trie is stored breadth first. Node 0 is the empty context, node n > 0 adds the graphone
    `symbols[n - 1]` to its parent; siblings are sorted by graphone. Graphone 0 ends a word;
    graphone `len(graphones)` begins it.
    """

    graphones: tuple[Graphone, ...]  # the first is the end of the word
    symbols: Int64[np.ndarray, " n"]  # graphone of every node but the root
    children: Int64[np.ndarray, " n1"]  # number of children of every node, root included
    log_prob: Float32[np.ndarray, " n1"]  # of the node's graphone after its parent's context
    log_backoff: Float32[np.ndarray, " n1"]  # weight of the shorter context

    @classmethod
    def load(cls, data: bytes) -> "JointModel":
        """The model in the bytes of an .npz written by `save`."""
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            lines = stored["graphones"].tobytes().decode("ascii").split("\n")
            pairs = (line.split(":") for line in lines)
            return cls(
                tuple(Graphone(letters, tuple(phones.split())) for letters, phones in pairs),
                stored["symbols"].astype(np.int64),
                stored["children"].astype(np.int64),
                stored["log_prob"].astype(np.float32) * -LOG_STEP,
                (stored["log_backoff"].astype(np.float32) - 128) * -LOG_STEP,
            )

    def save(self, path: Path) -> None:
        """Write the model; log-probabilities are rounded to LOG_STEP and clipped to a byte."""
        lines = (f"{g.letters}:{' '.join(g.phones)}" for g in self.graphones)
        np.savez_compressed(
            path,
            graphones=np.frombuffer("\n".join(lines).encode("ascii"), np.uint8),
            symbols=self.symbols.astype(np.uint16),
            children=self.children.astype(np.uint16),
            log_prob=np.clip(np.round(self.log_prob / -LOG_STEP), 0, 255).astype(np.uint8),
            log_backoff=np.clip(np.round(self.log_backoff / -LOG_STEP) + 128, 0, 255).astype(
                np.uint8
            ),
        )

    @cached_property
    def _keys(self) -> Int64[np.ndarray, " n"]:
        parents = np.repeat(np.arange(len(self.children)), self.children)
        return parents * (len(self.graphones) + 1) + self.symbols

    def child(
        self, node: Int64[np.ndarray, " k"], symbol: Int64[np.ndarray, " k"]
    ) -> Int64[np.ndarray, " k"]:
        """The node that extends `node` by `symbol`, or 0 where the trie has none."""
        key = node * (len(self.graphones) + 1) + symbol
        at = np.searchsorted(self._keys, key)
        found = self._keys[np.minimum(at, len(self._keys) - 1)] == key
        return np.where(found, at + 1, 0)

    @cached_property
    def _suffix(self) -> Int64[np.ndarray, " n1"]:
        """For every node the longest context in the trie that drops at least its first graphone."""
        suffix = np.zeros(len(self.children), np.int64)
        parents = np.repeat(np.arange(len(self.children)), self.children)
        first, size = 1, self.children[0]
        while True:
            first, size = first + size, int(self.children[first : first + size].sum())
            if not size:
                return suffix
            level = np.arange(first, first + size)
            _, suffix[level] = self._walk(
                suffix[parents[level - 1]], self.symbols[level - 1], suffix
            )

    def _walk(self, node, symbol, suffix):
        """Back off from `node` until `symbol` follows: (log-probability, node reached)."""
        log_prob, reached = np.zeros(len(node), np.float32), np.zeros(len(node), np.int64)
        open_ = np.arange(len(node))
        while len(open_):
            found = self.child(node[open_], symbol[open_])
            hit = (found > 0) | (node[open_] == 0)
            log_prob[open_] += np.where(hit, self.log_prob[found], self.log_backoff[node[open_]])
            reached[open_] = found
            open_ = open_[~hit]
            node = node.copy()
            node[open_] = suffix[node[open_]]
        return log_prob, reached

    def step(
        self, state: Int64[np.ndarray, " k"], symbol: Int64[np.ndarray, " k"]
    ) -> tuple[Float32[np.ndarray, " k"], Int64[np.ndarray, " k"]]:
        """log p(symbol | state) and the state after it."""
        return self._walk(state, symbol, self._suffix)

    @cached_property
    def start(self) -> int:
        """The state before the first letter."""
        return int(self.child(np.array([0]), np.array([len(self.graphones)]))[0])

    @cached_property
    def _spelt(self) -> dict[str, Int64[np.ndarray, " g"]]:
        table: dict[str, list[int]] = {}
        for index, graphone in enumerate(self.graphones[1:], 1):
            table.setdefault(graphone.letters, []).append(index)
        return {letters: np.array(indices, np.int64) for letters, indices in table.items()}

    @cached_property
    def _primary(self) -> Int64[np.ndarray, " g"]:
        return np.array([sum(p.endswith("1") for p in g.phones) for g in self.graphones], np.int64)

    def best(self, word: str) -> tuple[str, ...]:
        """The pronunciation of a word of LETTERS with the fewest wrong phones expected; () for "".

        Segmentations that sound alike are summed; no word gets two primary stresses.
        """
        partial: list[dict] = [
            {} for _ in range(len(word) + 1)
        ]  # (phones, state) -> (score, stresses)
        partial[0][(), self.start] = (0.0, 0)
        for at in range(len(word)):
            kept = sorted(partial[at].items(), key=lambda item: -item[1][0])[:BEAM]
            for size in (1, 2):
                options = self._spelt.get(word[at : at + size])
                if kept and options is not None and at + size <= len(word):
                    self._extend(kept, options, partial[at + size])
        return self._finish(partial[len(word)])

    def _extend(self, kept, options, into) -> None:
        states = np.repeat(np.array([state for (_, state), _ in kept], np.int64), len(options))
        scores = np.repeat(np.array([score for _, (score, _) in kept]), len(options))
        stresses = np.repeat(np.array([count for _, (_, count) in kept]), len(options))
        symbols = np.tile(options, len(kept))
        log_prob, states = self.step(states, symbols)
        scores, stresses = scores + log_prob, stresses + self._primary[symbols]
        good = np.flatnonzero((scores > scores.max() - WINDOW) & (stresses < 2))
        for index in good:
            phones = kept[index // len(options)][0][0] + self.graphones[symbols[index]].phones
            key, score = (phones, int(states[index])), float(scores[index])
            before = into.get(key)
            into[key] = (
                score if before is None else float(np.logaddexp(before[0], score)),
                int(stresses[index]),
            )

    def _finish(self, partial) -> tuple[str, ...]:
        """The candidate that is expected to differ least from the truth, counted in phones."""
        if not partial:
            return ()
        states = np.array([state for _, state in partial], np.int64)
        ends, _ = self.step(states, np.full(len(states), END, np.int64))
        totals: dict[tuple[str, ...], float] = {}
        for ((phones, _), (score, stresses)), end in zip(partial.items(), ends, strict=True):
            score += float(end) - (0.0 if stresses == 1 else UNSTRESSED)
            totals[phones] = float(np.logaddexp(totals.get(phones, -np.inf), score))
        shortlist = sorted(totals, key=lambda phones: -totals[phones])[:SHORTLIST]
        weight = np.exp(
            SHARPNESS * np.array([totals[phones] - totals[shortlist[0]] for phones in shortlist])
        )
        distance = np.zeros((len(shortlist), len(shortlist)))
        for row, one in enumerate(shortlist):
            for column, other in enumerate(shortlist[:row]):
                distance[row, column] = distance[column, row] = edits(one, other)
        return shortlist[int(np.argmin(distance @ weight))]


def edits(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """Phones to insert, delete or replace to turn one pronunciation into the other."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


@cache
def model() -> JointModel:
    """The shipped model."""
    return JointModel.load(lexicon.read_data("g2p.npz"))


@cache
def pronounce(word: str) -> tuple[str, ...]:
    """Phones for any spelling of lower-case letters and apostrophes; () when nothing sounds."""
    return model().best("".join(c for c in word if c in LETTERS))
