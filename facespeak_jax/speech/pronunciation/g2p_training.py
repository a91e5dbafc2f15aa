"""Makes the grapheme-to-phoneme model from the dictionary.

1. Words and phones are aligned by expectation maximisation over graphones.
2. An interpolated modified Kneser-Ney n-gram model is counted over the aligned words.
3. N-grams that change the likelihood least are dropped (Stolcke 1998), the rest renormalised.

Nothing is random: the same dictionary gives the same bytes. A twentieth of the word families is
never trained on.

    python -m facespeak_jax.speech.pronunciation.g2p_training train --out g2p.npz
    python -m facespeak_jax.speech.pronunciation.g2p_training evaluate
"""

import argparse
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facespeak_jax.speech.pronunciation import g2p, lexicon
from facespeak_jax.speech.pronunciation.g2p import END, LETTERS, Graphone, JointModel, edits

ORDER = 7
ITERATIONS = 15
RAREST = 4  # graphones seen less often are dropped together with the words that need them
THRESHOLD = 1.3  # n-grams that raise the log-likelihood of the training words by less are dropped
SHAPES = ((1, 0), (1, 1), (1, 2), (2, 1))  # letters and phones of a graphone

_FAMILY = re.compile(r"('s|s'|s|')$")


def held_out(word: str) -> bool:
    """Whether a word is kept from training; a word, its plural and its possessive go together."""
    return zlib.crc32(_FAMILY.sub("", word).encode()) % 20 == 0


def entries(*, test: bool) -> list[tuple[str, list[tuple[str, ...]]]]:
    """(word, pronunciations) of the held-out or the other words; letters and apostrophes only."""
    words = (
        w for w in lexicon.dictionary() if re.fullmatch(r"[a-z][a-z']*", w) and held_out(w) == test
    )
    return [(word, lexicon.variants(word)) for word in words]


@dataclass
class Lattices:
    """Words of one length in letters and in phones, and for every shape the graphones (b, i, j)."""

    letters: np.ndarray
    phones: np.ndarray
    edges: dict[tuple[int, int], np.ndarray]


def _codes(letters, phones, shape):
    """A number for the graphone of this shape at every corner (letter, phone): (b, i, j)."""
    taken, heard = shape
    spelt = letters[:, : letters.shape[1] - taken + 1] + 1
    if taken == 2:
        spelt = spelt * 28 + letters[:, 1:] + 1
    sounded = np.zeros((len(phones), phones.shape[1] - heard + 1), np.int64)
    for offset in range(heard):
        sounded = sounded * 70 + phones[:, offset : offset + sounded.shape[1]] + 1
    return spelt[:, :, None] * 4970 + sounded[:, None, :]


def _graphone(code: int) -> Graphone:
    spelt, sounded = divmod(code, 4970)
    letters = [c for c in divmod(spelt, 28) if c]
    phones = [p for p in divmod(sounded, 70) if p]
    return Graphone(
        "".join(LETTERS[c - 1] for c in letters), tuple(lexicon.PHONES[p - 1] for p in phones)
    )


def _lattices(pairs) -> tuple[list[Lattices], np.ndarray]:
    """All words grouped by lengths, graphones numbered from 0, and the code of every number."""
    number = {phone: index for index, phone in enumerate(lexicon.PHONES)}
    groups: dict[tuple[int, int], list] = {}
    for word, phones in pairs:
        if len(phones) <= 2 * len(word):
            encoded = [LETTERS.index(c) for c in word], [number[p] for p in phones]
            groups.setdefault((len(word), len(phones)), []).append(encoded)
    lattices = []
    for _, group in sorted(groups.items()):
        letters, phones = (np.array(side, np.int64) for side in zip(*group, strict=True))
        edges = {
            shape: _codes(letters, phones, shape)
            for shape in SHAPES
            if shape[0] <= letters.shape[1] and shape[1] <= phones.shape[1]
        }
        lattices.append(Lattices(letters, phones, edges))
    codes = np.unique(np.concatenate([np.unique(e) for g in lattices for e in g.edges.values()]))
    for group in lattices:
        group.edges = {
            s: np.searchsorted(codes, e).astype(np.int32) for s, e in group.edges.items()
        }
    return lattices, codes


def _sweep(group: Lattices, weight: np.ndarray, *, backward: bool) -> np.ndarray:
    """Total weight of the paths to (forward) or from (backward) every corner: (i + 1, j + 1, b)."""
    count, (rows, columns) = len(group.letters), (group.letters.shape[1], group.phones.shape[1])
    total = np.zeros((rows + 1, columns + 1, count))
    total[(rows, columns) if backward else (0, 0)] = 1.0
    weights = {shape: weight[edge] for shape, edge in group.edges.items()}
    corners = [(i, j) for i in range(rows + 1) for j in range(columns + 1)]
    for i, j in reversed(corners) if backward else corners:
        for (di, dj), w in weights.items():
            if backward and i + di <= rows and j + dj <= columns:
                total[i, j] += w[:, i, j] * total[i + di, j + dj]
            elif not backward and i >= di and j >= dj:
                total[i, j] += total[i - di, j - dj] * w[:, i - di, j - dj]
    return total


def _expect(group: Lattices, weight: np.ndarray) -> np.ndarray:
    """Expected number of uses of every graphone in the group."""
    ahead, behind = (_sweep(group, weight, backward=b) for b in (False, True))
    evidence = ahead[-1, -1]
    scale = np.where(evidence > 0, 1.0 / np.maximum(evidence, 1e-300), 0.0)
    expected = np.zeros(len(weight))
    for (di, dj), edge in group.edges.items():
        rows, columns = edge.shape[1:]
        joint = (
            ahead[:rows, :columns] * behind[di : di + rows, dj : dj + columns] * scale[None, None]
        )
        joint = np.moveaxis(joint, 2, 0) * weight[edge]
        expected += np.bincount(edge.ravel(), joint.ravel(), len(weight))
    return expected


def _best_paths(group: Lattices, weight: np.ndarray) -> list[list[int]]:
    """The likeliest graphones of every word of the group; words without a path are left out."""
    count, (rows, columns) = len(group.letters), (group.letters.shape[1], group.phones.shape[1])
    score = np.zeros((rows + 1, columns + 1, count))
    choice = np.zeros((rows + 1, columns + 1, count), np.int8)
    score[0, 0] = 1.0
    shapes = list(group.edges)
    for i in range(rows + 1):
        for j in range(columns + 1):
            for index, (di, dj) in enumerate(shapes):
                if i >= di and j >= dj:
                    offer = score[i - di, j - dj] * weight[group.edges[di, dj][:, i - di, j - dj]]
                    better = offer > score[i, j]
                    score[i, j][better], choice[i, j][better] = offer[better], index
    paths = []
    for word in np.flatnonzero(score[-1, -1] > 0):
        i, j, path = rows, columns, []
        while i or j:
            di, dj = shapes[choice[i, j, word]]
            i, j = i - di, j - dj
            path.append(int(group.edges[di, dj][word, i, j]))
        paths.append(path[::-1])
    return paths


def align(pairs) -> tuple[list[list[int]], list[Graphone]]:
    """Graphone sequences of the (word, phones) pairs, and the graphones they index (0 is END)."""
    lattices, codes = _lattices(pairs)
    weight = np.full(len(codes), 1.0 / len(codes))
    for _ in range(ITERATIONS):
        expected = np.sum([_expect(group, weight) for group in lattices], axis=0)
        weight = np.where(expected > 0.5, expected, 0.0) / expected.sum()
    paths = [path for group in lattices for path in _best_paths(group, weight)]
    uses = np.bincount(np.concatenate([np.array(path) for path in paths]), minlength=len(codes))
    kept = np.flatnonzero(uses >= RAREST)
    number = {int(old): new for new, old in enumerate(kept, END + 1)}
    sequences = [[number[g] for g in path] for path in paths if all(g in number for g in path)]
    return sequences, [Graphone("", ()), *(_graphone(int(codes[old])) for old in kept)]


@dataclass
class Level:
    """All n-grams of one length. `parent` and `suffix` index the level below."""

    parent: np.ndarray
    symbol: np.ndarray
    suffix: np.ndarray
    count: np.ndarray  # how often it was seen
    distinct: np.ndarray  # what Kneser-Ney counts: different graphones before it
    prob: np.ndarray
    backoff: np.ndarray


def _count(sequences, begin: int) -> list[Level]:
    """The n-grams of every length up to ORDER, each sorted by (parent, symbol)."""
    padded = [np.array([begin, *sequence, END]) for sequence in sequences]
    tokens = np.concatenate(padded)
    place = np.concatenate([np.arange(len(word)) for word in padded])
    levels: list[Level] = []
    before = np.zeros(len(tokens), np.int64)  # the (n-1)-gram that ends at each token
    valid = np.ones(len(tokens), bool)
    for length in range(1, ORDER + 1):
        valid = place >= length - 1
        parent = np.roll(before, 1) if length > 1 else before
        keys = parent * (begin + 1) + tokens
        unique, first, inverse, count = np.unique(
            keys[valid], return_index=True, return_inverse=True, return_counts=True
        )
        suffix = before[valid][first] if length > 1 else np.zeros(len(unique), np.int64)
        zeros = np.zeros(len(unique))
        levels.append(
            Level(
                unique // (begin + 1),
                unique % (begin + 1),
                suffix,
                count,
                count.astype(float),
                zeros,
                zeros,
            )
        )
        if length > 1:
            lower = levels[-2]
            preceded = np.bincount(suffix, minlength=len(lower.count))
            lower.distinct = np.where(preceded > 0, preceded, lower.count).astype(float)
        before = np.zeros(len(tokens), np.int64)
        before[valid] = inverse
    return levels


def _discounts(counts: np.ndarray) -> np.ndarray:
    """Modified Kneser-Ney discount of every count (Chen & Goodman 1998, eq. 26)."""
    n1, n2, n3, n4 = (max(1, int((counts == k).sum())) for k in (1, 2, 3, 4))
    y = n1 / (n1 + 2 * n2)
    table = np.array([0.0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
    return np.clip(table, 0.1, None)[np.minimum(counts, 3).astype(int)] * (counts > 0)


def _estimate(levels: list[Level], graphones: int) -> None:
    """Fill in interpolated probabilities, shortest n-grams first."""
    contexts = 1
    for length, level in enumerate(levels, 1):
        counts = np.where(
            level.symbol == graphones, 0.0, level.distinct
        )  # the beginning is never predicted
        discount = np.minimum(_discounts(counts), counts)
        total = np.maximum(np.bincount(level.parent, counts, contexts), 1e-9)
        left = np.bincount(level.parent, discount, contexts) / total
        lower = 1.0 / graphones if length == 1 else levels[length - 2].prob[level.suffix]
        level.prob = (counts - discount) / total[level.parent] + left[level.parent] * lower
        contexts = len(level.count)


def _prune(levels: list[Level]) -> list[np.ndarray]:
    """Which n-grams of every level to keep: those that gain THRESHOLD, and their prefixes."""
    kept = [np.ones(len(level.count), bool) for level in levels]
    needed = np.zeros(len(levels[-1].count), bool)
    for length in range(len(levels), 1, -1):
        level, lower = levels[length - 1], levels[length - 2]
        backoff = _backoff(level, lower, np.ones(len(level.count), bool))
        guess = backoff[level.parent] * lower.prob[level.suffix]
        gain = level.count * np.log(np.maximum(level.prob, 1e-12) / np.maximum(guess, 1e-12))
        kept[length - 1] = needed | (gain > THRESHOLD)
        needed = np.bincount(level.parent[kept[length - 1]], minlength=len(lower.count)) > 0
    return kept


def _backoff(level: Level, lower: Level, kept: np.ndarray) -> np.ndarray:
    """Backoff weight of every context of the level, so that probabilities sum to one."""
    contexts = len(lower.count)
    seen = np.bincount(level.parent[kept], level.prob[kept], contexts)
    guessed = np.bincount(level.parent[kept], lower.prob[level.suffix[kept]], contexts)
    return np.maximum(1.0 - seen, 1e-6) / np.maximum(1.0 - guessed, 1e-6)


def _trie(levels: list[Level], kept: list[np.ndarray], graphones: list[Graphone]) -> JointModel:
    """The kept n-grams in the breadth-first form of the model."""
    symbols: list[np.ndarray] = []
    children = [kept[0].sum(keepdims=True)]
    log_prob, log_backoff = [np.zeros(1)], [np.zeros(1)]
    for length, level in enumerate(levels, 1):
        mine = kept[length - 1]
        symbols.append(level.symbol[mine])
        log_prob.append(np.log(np.maximum(level.prob[mine], 1e-12)))
        if length < len(levels):
            longer, theirs = levels[length], kept[length]
            children.append(np.bincount(longer.parent[theirs], minlength=len(level.count))[mine])
            log_backoff.append(np.log(_backoff(longer, level, theirs)[mine]))
        else:
            children.append(np.zeros(mine.sum(), int))
            log_backoff.append(np.zeros(mine.sum()))
    return JointModel(
        tuple(graphones),
        np.concatenate(symbols).astype(np.int64),
        np.concatenate(children).astype(np.int64),
        np.concatenate(log_prob).astype(np.float32),
        np.concatenate(log_backoff).astype(np.float32),
    )


def train() -> JointModel:
    """The model of the words that are not held out (a few minutes on one core)."""
    pairs = [(word, phones) for word, variants in entries(test=False) for phones in variants]
    sequences, graphones = align(pairs)
    levels = _count(sequences, len(graphones))
    _estimate(levels, len(graphones))
    return _trie(levels, _prune(levels), graphones)


def error_rates(model: JointModel, words=None) -> dict[str, float]:
    """Error rates on held-out words against the nearest variant; "plain" ignores stress."""
    words = entries(test=True) if words is None else words
    wrong, total = dict.fromkeys(("phones", "words", "phones_plain", "words_plain"), 0), 0
    for word, variants in words:
        guess = model.best(word)
        nearest = min(variants, key=lambda v: edits(v, guess))
        plain = [tuple(p.rstrip("012") for p in side) for side in (guess, nearest)]
        total += len(nearest)
        wrong["phones"] += edits(guess, nearest)
        wrong["words"] += guess != nearest
        wrong["phones_plain"] += edits(*plain)
        wrong["words_plain"] += (
            min(edits(plain[0], tuple(p.rstrip("012") for p in v)) for v in variants) > 0
        )
    return {
        name: count / (total if name.startswith("phones") else len(words))
        for name, count in wrong.items()
    } | {"tested": len(words)}


def main() -> None:
    """Train or evaluate the model from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m facespeak_jax.speech.pronunciation.g2p_training", description=__doc__
    )
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("train", help="make the model from the dictionary")
    making.add_argument("--out", type=Path, required=True, help="the .npz to write")
    judging = commands.add_parser("evaluate", help="print error rates on the held-out words")
    judging.add_argument("--model", type=Path, help="an .npz other than the shipped one")
    arguments = parser.parse_args()
    if arguments.command == "train":
        train().save(arguments.out)
        print(arguments.out)
    else:
        stored = arguments.model
        print(error_rates(JointModel.load(stored.read_bytes()) if stored else g2p.model()))


if __name__ == "__main__":
    main()
