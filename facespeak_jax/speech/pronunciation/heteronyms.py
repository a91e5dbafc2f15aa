"""Words whose sound depends on the sentence: "a record" and "to record", "the ear".

Neighbouring words decide; there is no parser. Where they say nothing the commoner sound is taken.
"""

from dataclasses import dataclass
from functools import cache

from facespeak_jax.speech.pronunciation.lexicon import VOWELS, Pronunciation, plural, read_data
from facespeak_jax.speech.tables import table, words

_MODALS = words(
    "to will would can could should shall must may might cannot don't doesn't didn't won't can't "
    "couldn't wouldn't shouldn't let let's do did does not never always please i'll you'll we'll "
    "they'll he'll she'll it'll i'd you'd we'd they'd help helps helped"
)
_SUBJECTS = words("i you we they who")
_SINGULAR_SUBJECTS = words("he she it who that which this also often")
_DETERMINERS = words(
    "the a an this that these those my your his her its our their some any no every each another "
    "of in for with new old first last next"
)
_OBJECTS = words("the a an this these those my your his its our their me him them us it you")


@dataclass(frozen=True)
class Context:
    """A word (lower case) between its neighbours; "" at the edge of a sentence or pause."""

    word: str
    before: str = ""
    after: str = ""
    before_that: str = ""
    capital: bool = False  # written with a capital inside a sentence


@cache
def _noun_verb() -> dict[str, tuple[str, Pronunciation, Pronunciation]]:
    lines = (line.split("|") for line in read_data("heteronyms.txt").decode("ascii").splitlines())
    return {
        word: (usual, tuple(noun.split()), tuple(verb.split())) for word, usual, noun, verb in lines
    }


def disambiguate(context: Context) -> Pronunciation | None:
    """The pronunciation the context calls for; None for a word with one sound."""
    rule = _RULES.get(context.word)
    if rule is not None:
        return tuple(rule(context).split())
    base = context.word.removesuffix("s")
    for stem, singular in ((context.word, True), (base, False), (base.removesuffix("e"), False)):
        if stem in _noun_verb() and (singular or stem != context.word):
            usual, noun, verb = _noun_verb()[stem]
            sound = verb if _is_verb(context, usual, third_person=not singular) else noun
            return sound if singular else plural(sound)
    return None


def _is_verb(context: Context, usual: str, *, third_person: bool) -> bool:
    if context.before in _DETERMINERS:
        return False
    subjects = _SINGULAR_SUBJECTS if third_person else _SUBJECTS | _MODALS
    if context.before in subjects:
        return True
    return usual == "verb" or context.after in _OBJECTS


def _pick(context: Context, usual: str, other: str, *, before: str = "", after: str = "") -> str:
    """`other` next to one of the words given, else `usual`."""
    near = context.before in before.split() or context.after in after.split()
    return other if near else usual


_PERFECT = (
    "have has had was were been be is are having i've you've we've they've he she it already well "
    "never ever just he'd she'd i'd we'd they'd haven't hasn't hadn't"
)
_RULES = {
    "read": lambda c: _pick(c, "R IY1 D", "R EH1 D", before=_PERFECT, after="aloud yesterday"),
    "lead": lambda c: _pick(
        c,
        "L IY1 D",
        "L EH1 D",
        before="molten liquid contain contains containing",
        after="pipe pipes paint poisoning pencil acid bullet",
    ),
    "live": lambda c: _pick(
        c,
        "L IH1 V",
        "L AY1 V",
        before="a the going goes went broadcast our this",
        after="music show shows performance stream streams broadcast concert concerts audience "
        "event events tv video wire coverage band demo chat",
    ),
    "lives": lambda c: _pick(
        c,
        "L IH1 V Z",
        "L AY1 V Z",
        before="their our my your his her its many the of save saved saving nine lost two three "
        "people's these those human other daily whose private young",
    ),
    "wind": lambda c: _pick(
        c, "W IH1 N D", "W AY1 N D", before="to will can must", after="up down back"
    ),
    "winds": lambda c: _pick(
        c, "W IH1 N D Z", "W AY1 N D Z", before="it he she", after="up through"
    ),
    "tears": lambda c: _pick(
        c, "T IH1 R Z", "T EH1 R Z", before="he she it who", after="down apart off"
    ),
    "bow": lambda c: (
        "B AW1"
        if c.before_that in ("take", "took", "takes")
        else _pick(
            c,
            "B AW1",
            "B OW1",
            before="a the his her violin long rain",
            after="and tie ties window string",
        )
    ),
    "bass": lambda c: _pick(
        c, "B EY1 S", "B AE1 S", before="sea striped largemouth black", after="fishing boat"
    ),
    "wound": lambda c: _pick(c, "W UW1 N D", "W AW1 N D", after="up around down through its"),
    "minute": lambda c: _pick(
        c,
        "M IH1 N AH0 T",
        "M AY0 N UW1 T",
        before="very so",
        after="detail details amount amounts quantities",
    ),
    "content": lambda c: _pick(
        c,
        "K AA1 N T EH0 N T",
        "K AH0 N T EH1 N T",
        before="am is are was were be been feel feels felt quite very perfectly i'm he's she's "
        "we're seemed",
    ),
    "used": lambda c: (
        "Y UW1 S T"
        if c.after == "to" and c.before not in ("is", "was", "are", "were", "be", "been", "being")
        else "Y UW1 Z D"
    ),
    "polish": lambda c: "P OW1 L IH0 SH" if c.capital else "P AA1 L IH0 SH",
}

# Function words, which lose their stress, and often their vowel, unless a pause follows.
_WEAK = table(
    "of AH0 V, to T AH0, and AH0 N D, an AH0 N, for F AO0 R, at AE0 T, from F R AH0 M, as AE0 Z, "
    "was W AH0 Z, were W ER0, are AA0 R, is IH0 Z, be B IY0, been B IH0 N, or AO0 R, than DH AE0 "
    "N, but B AH0 T, in IH0 N, on AA0 N, by B AY0, it IH0 T, his HH IH0 Z, him HH IH0 M, her HH "
    "ER0, your Y AO0 R, my M AY0, our AW0 ER0, their DH EH0 R, with W IH0 DH, has HH AE0 Z, have "
    "HH AE0 V, had HH AE0 D, them DH EH0 M, can K AE0 N"
)


def connected(word: str, after: Pronunciation | None) -> Pronunciation | None:
    """How a function word sounds before the phones `after`, None for a pause; None for others."""
    vowel = after is not None and after[0][:2] in VOWELS
    if word == "the":
        return ("DH", "IY0" if vowel else "AH0")
    if word == "to" and vowel:
        return ("T", "UW0")
    return tuple(_WEAK[word].split()) if word in _WEAK and after is not None else None
