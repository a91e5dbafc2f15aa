"""What the people of `heads` say.

Training and validation sentences are the quoted examples in the glosses of WordNet 3.0, some joined
into longer utterances, with a share of generated numbers, dates, questions, lists, names and short
answers. Test sentences are written for this project and share no source with them.
"""

import hashlib
import re
from collections import deque
from functools import cache
from pathlib import Path

import numpy as np

from facespeak_jax.data.assets import resolve

GENERATED_SHARE = 0.15
WORDS = range(2, 21)  # words a single example may have
SHORT = 5  # examples with fewer words are usually joined
VALIDATION_PARTS = 20  # one sentence in this many goes to validation
CANDIDATES = 12  # of so many utterances the one with most unseen words comes next

# Lexicographer files of WordNet's nouns.
_ANIMAL, _ARTIFACT, _FOOD, _PLACE, _PERSON, _PLANT = 5, 6, 13, 15, 18, 20

_ALLOWED = re.compile(r"[A-Za-z0-9 ,.'?!;:$%-]+")
# Nobody asked to hear these from a synthetic face: slurs, sex, violence, named tyrants.
_UNWANTED = re.compile(
    r"\b(nazi|hitler|saddam|stalin|jew|negro|nigg|gyps|savages?\b|racis|slave|whore|slut|prostitut|sex|"
    r"rape|raping|rapist|penis|vagin|breast|genital|nud(e|ity)|naked|erotic|lust|orgasm|semen|urin|feces|"
    r"excrement|bowel|anus\b|piss|shit|fuck|damn|bastard|bitch|crap\b|fart|murder|kill|suicid|tortur|"
    r"terroris|bomb|lynch|behead|massacre|genocid|corpse|molest|abort|homosexual|queer|faggot|dyke|"
    r"crippl|retard|moron|cretin|whip|stab|strangl|hang(ed|ing)|god\b|allah|bush\b|clinton)",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"(who|whom|whose|what|where|why|which|how)\b.*\b(is|are|was|were|do|does|did|can|could|will|would|"
    r"should|have|has|had)\b|(is|are|was|were|do|does|did|can|could|will|would|should|shall|may|am|have|"
    r"has|had) (i|you|he|she|it|we|they|the|this|that|these|those|your|my|his|her|their|there)\b",
    re.IGNORECASE,
)


def sentences(split: str, seed: int) -> list[str]:
    """The utterances of "train", "validation" or "test" in the order in which clips use them.

    The order is seeded; in train and validation it meets new words as early as possible, so that a
    small corpus has many. No sentence is in two splits. Raises AssetMissing without WordNet.
    """
    rng = np.random.default_rng([seed, ("train", "validation", "test").index(split)])
    if split == "test":
        lines = test_sentences()
        return [lines[i] for i in rng.permutation(len(lines))]
    examples = [text for text in wordnet_examples() if _split_of(text) == split]
    utterances = _joined([examples[i] for i in rng.permutation(len(examples))], rng)
    generated = round(len(utterances) * GENERATED_SHARE / (1 - GENERATED_SHARE))
    utterances += _generated(split, generated, rng)
    return _new_words_first([utterances[i] for i in rng.permutation(len(utterances))])


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return re.findall(r"[a-z0-9]+(?:'[a-z]+)?", text.lower())


@cache
def test_sentences() -> list[str]:
    """The sentences written for the test split."""
    path = Path(__file__).with_name("test_sentences.txt")
    return [line for line in path.read_text("utf-8").splitlines() if line]


@cache
def wordnet_examples() -> list[str]:
    """The usable examples of WordNet's glosses, each once, without their final punctuation."""
    found = {}
    for part in ("adj", "adv", "noun", "verb"):
        for line in (resolve("wordnet") / f"data.{part}").read_text("latin-1").splitlines():
            for example in re.findall(r'"([^"]+)"', line.partition("|")[2]):
                text = _clean(example)
                if text:
                    found.setdefault(" ".join(words(text)), text)
    return [text for text in found.values() if not any(part in found for part in _parts(text))]


@cache
def wordnet_names(lexicographer_file: int, capital: bool) -> list[str]:
    """Single-word nouns of a lexicographer file: proper names, or nouns the examples use."""
    known = {word for text in wordnet_examples() for word in words(text)}
    found = {}
    for line in (resolve("wordnet") / "data.noun").read_text("latin-1").splitlines():
        fields = line.split(" ")
        if line.startswith("  ") or int(fields[1]) != lexicographer_file:
            continue
        for lemma in fields[4 : 4 + 2 * int(fields[3], 16) : 2]:
            proper = re.fullmatch("[A-Z][a-z]{2,10}", lemma)
            common = lemma.isalpha() and lemma.islower() and lemma in known
            if proper if capital else common:
                found[lemma] = None
    return [name for name in found if not _UNWANTED.search(name)]


def _parts(text: str) -> list[str]:
    """The words of each part of a text that punctuation divides; none for an undivided text."""
    parts = re.split(r"[,;:.?!] ", text)
    return [" ".join(words(part)) for part in parts] if len(parts) > 1 else []


def _clean(example: str) -> str:
    """One example as plain text, or nothing where it is not something to say aloud."""
    text = re.sub(r"\s*--\s*", ", ", example).strip(" ,;:.")
    text = re.sub(r"\s+", " ", text)
    if not _ALLOWED.fullmatch(text) or _UNWANTED.search(text) or "..." in text:
        return ""
    if len(text.split()) not in WORDS or re.search(r"\b[A-Z]{2,}\b|\b[A-Za-z]\.[A-Za-z]\.", text):
        return ""
    return text


def _split_of(text: str) -> str:
    # A digest of the words alone: stable between runs, and blind to case and punctuation.
    digest = hashlib.blake2b(" ".join(words(text)).encode(), digest_size=4).digest()
    return "train" if int.from_bytes(digest, "big") % VALIDATION_PARTS else "validation"


def _finished(text: str) -> str:
    """Capital first, punctuation last."""
    text = text[0].upper() + text[1:]
    if text[-1] in ".?!":
        return text
    return text + ("?" if _ASKS.match(text) else ".")


def _joined(examples: list[str], rng: np.random.Generator) -> list[str]:
    """Examples as utterances: most short ones are joined to lists or to two or three sentences."""
    utterances, pending = [], []
    for text in examples:
        pending.append(text)
        length = sum(len(part.split()) for part in pending)
        if length < SHORT and rng.random() < 0.8:
            continue
        plain = not any(part[-1] in "?!" for part in pending)
        listed = plain and all(part[0].islower() for part in pending[1:]) and rng.random() < 0.5
        if listed:
            utterances.append(_finished(", ".join(pending)))
        else:
            utterances.append(" ".join(_finished(part) for part in pending))
        pending = []
    return utterances


def _new_words_first(utterances: list[str]) -> list[str]:
    """The same utterances; each place goes to that of a few candidates with most unseen words."""
    queue = deque((text, frozenset(words(text))) for text in utterances)
    seen: set[str] = set()
    ordered: list[str] = []
    while queue:
        candidates = [queue.popleft() for _ in range(min(CANDIDATES, len(queue)))]
        text, best = candidates.pop(int(np.argmax([len(found - seen) for _, found in candidates])))
        queue.extend(candidates)
        seen |= best
        ordered.append(text)
    return ordered


def _generated(split: str, count: int, rng: np.random.Generator) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        text = _KINDS[rng.integers(len(_KINDS))](rng)
        if _split_of(text) == split:
            found[text] = None
    return list(found)


def _pick(rng: np.random.Generator, options: str | list[str]) -> str:
    options = options.split("|") if isinstance(options, str) else options
    return options[rng.integers(len(options))]


def _number(rng: np.random.Generator) -> str:
    """A cardinal; each order of magnitude up to a million is as likely as the next."""
    value = int(10 ** rng.uniform(0, 6))
    return f"{value:,}" if rng.random() < 0.5 else str(value)


def _person(rng: np.random.Generator) -> str:
    names = wordnet_names(_PERSON, True)
    title = _pick(rng, "Mr. |Mrs. |Dr. |Captain |Professor |Aunt |Uncle |||")
    return title + _pick(rng, names)


def _numbers(rng: np.random.Generator) -> str:
    thing = _pick(rng, wordnet_names(_ARTIFACT, False))
    shapes = [
        f"{_number(rng)} plus {_number(rng)} makes {_number(rng)}.",
        f"We counted {_number(rng)} of them near the {thing}.",
        f"It cost ${rng.integers(2, 900)}.{rng.integers(1, 100):02d}, {thing} included.",
        f"The {thing} weighs {rng.integers(2, 90)}.{rng.integers(1, 10)} kilos.",
        f"About {rng.integers(1, 100)}% of {_number(rng)} people agreed.",
        f"Call {rng.integers(200, 999)} {rng.integers(1000, 9999)} and ask for {_person(rng)}.",
        f"Turn to page {rng.integers(1, 700)}, line {rng.integers(1, 60)}.",
        f"Number {rng.integers(1, 100)} won by {rng.integers(2, 90)} points.",
    ]
    return _pick(rng, shapes)


def _dates(rng: np.random.Generator) -> str:
    day = _pick(rng, "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday")
    month = _pick(
        rng,
        "January|February|March|April|May|June|July|August|September|October|November|December",
    )
    place = _pick(rng, wordnet_names(_PLACE, True))
    clock = f"{rng.integers(1, 13)}:{rng.integers(0, 60):02d}"
    shapes = [
        f"{_person(rng)} left {place} in {month} {rng.integers(1700, 2030)}.",
        f"See you on {day} at {clock}.",
        f"The train to {place} leaves at {clock} on {day}.",
        f"On the {rng.integers(4, 20)}th of {month} the shop in {place} is closed.",
        f"In {rng.integers(1000, 2100)} nobody in {place} had heard of it.",
        f"From {day} to {_pick(rng, 'Friday|Saturday|Sunday')} it rained in {place}.",
    ]
    return _pick(rng, shapes)


def _questions(rng: np.random.Generator) -> str:
    thing = _pick(rng, wordnet_names(_ARTIFACT, False))
    animal = _pick(rng, wordnet_names(_ANIMAL, False))
    place = _pick(rng, wordnet_names(_PLACE, True))
    shapes = [
        f"Where did you put the {thing}?",
        f"Have you ever seen a {animal} in {place}?",
        f"Why would {_person(rng)} need another {thing}?",
        f"Who told {_person(rng)} about the {animal}?",
        f"Is this the road to {place}, or the one to {_pick(rng, wordnet_names(_PLACE, True))}?",
        f"How many days is it until we reach {place}?",
        f"Could you bring me the {thing}, please?",
        f"Which of you left the {thing} by the {_pick(rng, wordnet_names(_ARTIFACT, False))}?",
    ]
    return _pick(rng, shapes)


def _lists(rng: np.random.Generator) -> str:
    kind = (_FOOD, _ANIMAL, _ARTIFACT, _PLANT)[rng.integers(4)]
    things = [_pick(rng, wordnet_names(kind, False)) for _ in range(rng.integers(3, 7))]
    lead = _pick(rng, "We need |She drew |They sell |I can see |On the list: |He asked for |")
    return _finished(lead + ", ".join(things[:-1]) + _pick(rng, " and | or |, and ") + things[-1])


def _names(rng: np.random.Generator) -> str:
    one, other = _person(rng), _person(rng)
    place = _pick(rng, wordnet_names(_PLACE, True))
    shapes = [
        f"{one} and {other} met in {place}.",
        f"My name is {one}, and this is {other}.",
        f"{one} writes to {other} from {place} every week.",
        f"Please welcome {one} of {place}!",
        f"{one}, {other}, come here at once!",
        f"From {place} we drove to {_pick(rng, wordnet_names(_PLACE, True))} with {one}.",
    ]
    return _pick(rng, shapes)


def _answers(rng: np.random.Generator) -> str:
    first = _pick(
        rng, "Yes|No|Well|Oh|Sure|Thanks|Hello|Sorry|Of course|Not yet|Maybe|Good morning"
    )
    second = _pick(
        rng,
        "I think so|not today|thank you|why not|that will do|it was nothing|you are welcome|"
        "I am not sure|let me see|that is all|we will see|do come in|it is over there|never mind",
    )
    close = _pick(rng, [".", ".", "!"])
    tail = _pick(rng, ["", f", {_person(rng)}", f" in {_pick(rng, wordnet_names(_PLACE, True))}"])
    return _pick(rng, [f"{first}, {second}{tail}{close}", f"{first}{tail}{close}"])


_KINDS = (_numbers, _dates, _questions, _lists, _names, _answers)
