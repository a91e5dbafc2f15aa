"""Written English to speakable words and pause marks.

The result holds words, spelled letters as single capitals, pronunciations in braces, and the pause
marks `, . ? ! ; : — … "`, and normalising it again changes nothing.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import cache

from facespeak_jax.speech import lexicon, numbers
from facespeak_jax.speech import written_forms as forms
from facespeak_jax.speech.respelling import respell
from facespeak_jax.speech.tables import words

PASSES = 6  # two are enough for prose
MARKS = ',.?!;:—…"'
TOKEN = re.compile(r"""\{[^{}]*\}|[A-Za-z']+|[,.?!;:—…"]""")

_FOREIGN = re.compile(r"[^ -~\n—£€¥₹¢°]")
_PREFIXES = words("anti co de mis multi non pre re sub un")
_DAY = r"([0-3]?\d)(?:st|nd|rd|th)?"
_NUMBER = r"(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)"
_SCALE = r"(?:\s*(hundred|thousand|million|billion|trillion)\b|(k|m|mn|bn|b|K|M|B|tn)\b)?"
_SENTENCE_END = rf"(?=\s*$|\s*\n|\s+{forms.STARTERS})"
_REPEATED = re.compile(r"([a-z])\1{2,}")


def normalize(text: str) -> str:
    """The text as words and pause marks; empty when nothing can be spoken.

    Raises UnknownSymbol when braces hold anything but a pronunciation.
    """
    for _ in range(PASSES):
        before, text = text, _pass(text)
        if text == before:
            break
    return text


def _pass(text: str) -> str:
    """One application of all rules; what one rule writes may be what an earlier rule reads."""
    pieces: list[str] = re.split(r"\{([^{}]*)\}", text)
    for index in range(0, len(pieces), 2):
        pieces[index] = _speakable(pieces[index])
    for index in range(1, len(pieces), 2):
        pieces[index] = " {" + " ".join(respell(pieces[index])) + "} "
    return tidy("".join(pieces))


def _speakable(text: str) -> str:
    """All rules in order, for text without pronunciations in braces."""
    text = _fold(text)
    for pattern, replacement in _rules():
        text = pattern.sub(replacement, text)
    return _words(text)


def _fold(text: str) -> str:
    """Quotes, dashes, accents and look-alikes as plain characters; no emoji or foreign scripts."""
    text = re.sub(r"(?<=\d)(?=[¼-¾⅐-⅞])", " ", text).translate(forms.CHARACTERS)
    text = unicodedata.normalize("NFKD", text).translate(forms.CHARACTERS)
    text = "".join(c for c in text if not unicodedata.combining(c))
    return _FOREIGN.sub(" ", re.sub(r"[^\S\n]", " ", text))


@cache
def _rules() -> list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]]:
    groups = (
        _layout,
        _addresses,
        _short_forms,
        _moments,
        _quantities,
        _romans,
        _plain_numbers,
        _symbols,
    )
    return [
        (re.compile(pattern, flags), action)
        for group in groups
        for pattern, action, *rest in group()
        for flags in (rest[0] if rest else 0,)
    ]


def _layout():
    """Lists, headings, paragraphs."""
    return [
        (r"^[ ]*(?:#{1,6}|[-*+>])[ ]+", "", 0),
        (r"([.,;:?!])?[ ]*\n\s*(?:[-*+]|\d{1,3}[.)])[ ]+", lambda m: (m[1] or ",") + " "),
        (r"\n[ ]*#{1,6}[ ]+", "\n\n"),
        (r"[ ]*\n[ ]*\n\s*", ". "),
        (r"\n", " "),
        (r"\.(?:[ ]?\.)+", "…"),
        (r"(?<=[ ])-{1,3}(?=[ ])|-{2,}", "—"),
    ]


def _addresses():
    """E-mail, web addresses, handles, hashtags."""
    return [
        (
            r"\b([\w.+-]+)@((?:[\w-]+\.)+[A-Za-z]{2,})\b",
            lambda m: f" {_address(m[1])} at {_address(m[2])} ",
        ),
        (
            r"\b(?:https?|ftp)://(?:www\.)?([^\s,;\"]*[^\s,;\".?!'])",
            lambda m: f" {_address(m[1])} ",
            re.I,
        ),
        (r"\bwww\.([^\s,;\"]*[^\s,;\".?!'])", lambda m: f" {_address(m[1])} ", re.I),
        (
            r"\b((?:[a-z0-9-]+\.)+(?:com|org|net|edu|gov|io|ai|co|uk|de|fr|eu|us|info|dev|app|tv)(?:/[\w/.-]*\w)?)\b",
            lambda m: f" {_address(m[1])} ",
            re.I,
        ),
        (r"(?<!\w)@(?=\w)", " at "),
        (r"(?<!\w)#(?=\d)", " number "),
        (r"(?<!\w)#(\w+)", lambda m: f" hashtag {m[1].replace('_', ' ')} "),
    ]


def _address(address: str) -> str:
    pieces: list[str] = re.findall(r"[A-Za-z]+|\d+|.", address.rstrip("/"))
    return " ".join(numbers.cardinal(p) if p.isdigit() else forms.ADDRESS.get(p, p) for p in pieces)


def _short_forms():
    """Titles, abbreviations, initials. A point that also ends the sentence stays."""
    titles, short = "|".join(forms.TITLES), "|".join(forms.ABBREVIATIONS)
    numbered = "|".join(forms.BEFORE_NUMBER)
    return [
        (r"(?<!\S)[:;]-?[()DP](?!\w)", " "),
        (r"\b([CF])#(?!\w)", r"\1 sharp"),
        (r"\bv(?=\d+\.)", "version "),
        (r"\bw/o\b", "without"),
        (r"\bw/(?=\s|\w)", "with "),
        (rf"\b({titles})\b\.?(?=\s+[A-Z])", lambda m: forms.TITLES[m[1]]),
        (r"\b(Mr|Mrs|Ms)\.", lambda m: forms.TITLES[m[1]]),
        (r"(?<=[A-Za-z] )Dr(?:\.|\b(?!\.))(?!\s+[A-Z])", "Drive"),
        (r"\bDr\b\.?(?=\s*[A-Z])|\bDr\.", "Doctor"),
        (r"(?<=[a-z] )St(?:\.|\b(?!\.))(?!\s*[A-Z][a-z])", "Street"),
        (r"\bSt\b\.?(?=\s+[A-Z])", "Saint"),
        (r"\bSt\.", "Street"),
        (rf"\b({numbered})\.\s?(?=\d)", lambda m: forms.BEFORE_NUMBER[m[1].lower()] + " ", re.I),
        (r"\b(Co)\.(?=\s|$)" + _SENTENCE_END, "Company."),
        (r"\bCo\.", "Company"),
        (rf"\b({short})\.{_SENTENCE_END}", lambda m: forms.ABBREVIATIONS[m[1]] + "."),
        (rf"\b({short})\.(?!\w)", lambda m: forms.ABBREVIATIONS[m[1]]),
        (r"\b(Sun|Sat|Wed|Mar)\.(?=,|\s+[a-z\d])", lambda m: forms.WITHIN_SENTENCE[m[1]]),
        (r"\bvs\b", "versus"),
        (
            rf"\b((?:[A-Za-z]\.){{2,}}|[Pp]h\.[Dd]\.){_SENTENCE_END}",
            lambda m: _initials(m[1]) + ".",
        ),
        (r"\b((?:[A-Za-z]\.){2,}|[Pp]h\.[Dd]\.)(?!\w)", lambda m: _initials(m[1])),
        (r"\b([A-Za-z](?:\.[A-Za-z])+)\b", lambda m: _initials(m[1] + ".")),
        (
            rf"(?<![A-Z] )\b(?!I\.)((?:[A-Z]\.[ ]?)+)(?=[A-Z][a-z])(?!{forms.STARTERS})",
            lambda m: _initials(m[1]) + " ",
        ),
    ]


def _initials(dotted: str) -> str:
    return forms.INITIALS.get(dotted.lower()) or " ".join(c.upper() for c in dotted if c.isalpha())


def _moments():
    """Dates and times of day."""
    year = r"([12]\d{3})"
    return [
        (rf"\b{year}-([01]\d)-([0-3]\d)\b", lambda m: _date(m[1], m[2], m[3], m[0])),
        (rf"\b([01]?\d)/([0-3]?\d)/{year}\b", lambda m: _date(m[3], m[1], m[2], m[0])),
        (rf"\b{forms.MONTH}\s+{_DAY}(?:,?\s+{year})?\b(?![:/%])", _month_day),
        (rf"\b{_DAY}\s+(?:of\s+)?{forms.MONTH}(?:,?\s+{year})?\b", _day_month),
        (rf"\b{forms.MONTH}\s+{year}\b", lambda m: f"{_month(m[1])} {numbers.year(m[2])}"),
        (r"(?<=:\d\d)\s?[-—]\s?(?=\d)|(?<=\d[ap]m)\s?[-—]\s?(?=\d)", " to "),
        (r"\b([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?\s*([AaPp])\.?\s?[Mm]\b\.?", _clock),
        (r"\b([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?()(?![\d:])", _clock),
        (r"\b(1[0-2]|[1-9])()()\s*([AaPp])\.?\s?[Mm]\b\.?", _clock),
        (r"(?<!\w)'(\d)0s\b", lambda m: numbers.plural(numbers.cardinal(m[1] + "0"))),
        (r"\b([12]\d{2}0)'?s\b", lambda m: numbers.plural(numbers.year(m[1]))),
        (r"\b([2-9]0)'?s\b", lambda m: numbers.plural(numbers.cardinal(m[1]))),
    ]


def _month(name: str) -> str:
    return next(month for month in forms.MONTHS if month.startswith(name[:3]))


def _date(year: str, month: str, day: str, written: str) -> str:
    if not 1 <= int(month) <= 12 or not 1 <= int(day) <= 31:
        return written
    return f"{forms.MONTHS[int(month) - 1]} {numbers.ordinal(day)}, {numbers.year(year)}"


def _month_day(match: re.Match[str]) -> str:
    if not 1 <= int(match[2]) <= 31:
        return match[0]
    year = f", {numbers.year(match[3])}" if match[3] else ""
    return f"{_month(match[1])} {numbers.ordinal(match[2])}{year}"


def _day_month(match: re.Match[str]) -> str:
    if not 1 <= int(match[1]) <= 31:
        return match[0]
    year = f", {numbers.year(match[3])}" if match[3] else ""
    return f"the {numbers.ordinal(match[1])} of {_month(match[2])}{year}"


def _clock(match: re.Match[str]) -> str:
    hour, minute, second, half = match.groups(default="")
    words = [numbers.cardinal(str(int(hour)))]
    if minute and minute != "00":
        words.append(("oh " if minute[0] == "0" else "") + numbers.cardinal(str(int(minute))))
    elif minute and not half:
        words.append("o'clock" if 1 <= int(hour) <= 12 else "hundred")
    if second and second != "00":
        words.append(f"and {_counted(str(int(second)), 'second')}")
    if half:
        words.append(f"{half.upper()} M")
    ends = match[0].endswith(".") and re.match(_SENTENCE_END, match.string[match.end() :])
    return " ".join(words) + ("." if ends else "")


def _quantities():
    """Telephone numbers, money, percent, units, fractions, ranges."""
    money = "|".join(re.escape(sign) for sign in sorted(forms.MONEY, key=len, reverse=True))
    units = "|".join(sorted(map(re.escape, forms.UNITS), key=len, reverse=True))
    rates = "|".join(sorted(map(re.escape, forms.RATES), key=len, reverse=True))
    amount = rf"(?<![\w.])(-?)({_NUMBER})"
    return [
        (r"(?<![\w.])(\+?)(?:(\d{1,3})[ .-])?\((\d{3})\)\s?(\d{3})[ .-](\d{4})\b", _telephone),
        (r"(?<![\w.])(\+?)(?:(\d{1,3})[ .-])?(\d{3})[.-](\d{3})[.-](\d{4})\b", _telephone),
        (r"(?<!\w)(\+)(\d{1,3}) (\d{2,4}) (\d{3,4}) (\d{3,4})\b", _telephone),
        (r"(?<![\w$£€¥.,-])()()()(\d{3})-(\d{4})\b", _telephone),
        (rf"(?<![\w])(-?)({money})\s?({_NUMBER}){_SCALE}(?!\w)", _money),
        (rf"({_NUMBER})\s?€", lambda m: _counted(m[1], "euro")),
        (rf"({_NUMBER})\s?¢", lambda m: _counted(m[1], "cent")),
        (
            rf"({_NUMBER})\s?(?:-|—)\s?(?={_NUMBER}\s?%)",
            lambda m: f"{numbers.decimal(m[1].replace(',', ''))} to ",
        ),
        (rf"{amount}\s?%", lambda m: _signed(m[1], m[2]) + " percent"),
        (
            rf"{amount}\s?°\s?([CF])\b",
            lambda m: _degrees(m) + {"C": " Celsius", "F": " Fahrenheit"}[m[3]],
        ),
        (rf"{amount}\s?°", _degrees),
        (rf"{amount}\s?({rates})\b", lambda m: f"{_signed(m[1], m[2])} {forms.RATES[m[3]]}"),
        (
            rf"{amount}\s?({units})\^2",
            lambda m: _signed(m[1], m[2]) + " square " + _many(forms.UNITS[m[3]]),
        ),
        (
            rf"{amount}\s?({units})\^3",
            lambda m: _signed(m[1], m[2]) + " cubic " + _many(forms.UNITS[m[3]]),
        ),
        (rf"{amount}[ -]?({units})\b(?!['-])(?:\.(?=\s+[a-z\d]))?", _measure),
        (r"\b(\d+)'\s?(\d+)\"", lambda m: f"{_counted(m[1], 'foot')} {numbers.cardinal(m[2])}"),
        (rf"(?<![\w.])({_NUMBER})\"", lambda m: _counted(m[1], "inch")),
        (r"\b(24/7|9/11|50/50)\b(?!/)", lambda m: " ".join(map(numbers.cardinal, m[1].split("/")))),
        (r"(?<![\w/.,])(\d+) (\d{1,2})/(\d{1,2})(?![\w/])", _mixed),
        (r"(?<![\w/.,])(\d{1,2})/(\d{1,3})(?![\w/])", _fraction),
        (
            r"\b([12]\d{3})\s?[-—]\s?([12]\d{3})\b",
            lambda m: f"{numbers.year(m[1])} to {numbers.year(m[2])}",
        ),
        (
            r"(?<![\w.-])(\d+(?:\.\d+)?)\s?[-—]\s?(?=\d+(?:\.\d+)?(?![\w-]))",
            lambda m: f"{m[1]} to ",
        ),
        (r"\b(\d+)\s?x\s?(?=\d+\b)", lambda m: f"{m[1]} by "),
        (r"\b(\d+)x\b", lambda m: f"{m[1]} times"),
    ]


def _telephone(match: re.Match[str]) -> str:
    plus, *groups = match.groups(default="")
    spoken = [numbers.spelt(group) for group in groups if group]
    return ("plus " if plus else "") + ", ".join(spoken)


def _many(unit: str) -> str:
    first, _, last = unit.rpartition(" ")
    return (
        f"{first} {forms.PLURALS.get(last, last if last.endswith('hertz') else last + 's')}".strip()
    )


def _counted(number: str, unit: str) -> str:
    number = number.replace(",", "")
    return f"{numbers.decimal(number)} {unit if number in ('1', '1.0') else _many(unit)}"


def _signed(sign: str, number: str) -> str:
    return ("minus " if sign else "") + numbers.decimal(number.replace(",", ""))


def _degrees(match: re.Match[str]) -> str:
    return _signed(match[1], match[2]) + (" degree" if match[2] == "1" else " degrees")


def _measure(match: re.Match[str]) -> str:
    spaced_word = match[3] == "in" and not re.match(
        r"\s*(?:[.,;:?!)]|$|by\b|x\b|wide|long|tall|high)", match.string[match.end() :]
    )
    if spaced_word:
        return match[0]
    return ("minus " if match[1] else "") + _counted(match[2], forms.UNITS[match[3]])


def _money(match: re.Match[str]) -> str:
    sign, currency, number, scale, letter = match.groups(default="")
    whole, cents = forms.MONEY[currency]
    number = number.replace(",", "")
    minus = "minus " if sign else ""
    if scale or letter:
        scale = scale or forms.SCALES[letter.lower()]
        return f"{minus}{numbers.decimal(number)} {scale} {_many(whole)}"
    units, point, part = number.partition(".")
    if not point or len(part) != 2 or not cents:
        return minus + _counted(number, whole)
    spoken = [_counted(units, whole)] if units.strip("0") else []
    if part != "00" or not spoken:
        spoken.append(_counted(str(int(part)), cents))
    return minus + " and ".join(spoken)


def _mixed(match: re.Match[str]) -> str:
    whole, top, bottom = match.groups()
    if not 0 < int(top) < int(bottom):
        return match[0]
    part = numbers.fraction(top, bottom)
    part = re.sub(r"^one (?=half|quarter)", "a ", part)
    return f"{numbers.cardinal(whole)} and {part}"


def _fraction(match: re.Match[str]) -> str:
    top, bottom = match.groups()
    if 0 < int(top) < int(bottom) and top[0] != "0":
        return numbers.fraction(top, bottom)
    return f"{numbers.cardinal(top)} over {numbers.cardinal(bottom)}"


def _romans():
    """Roman numerals where the word before calls for one."""
    return [
        (rf"\b({forms.COUNTED})\s+([IVXL]+)\b", _roman_cardinal),
        (rf"\b({forms.CROWNED})\s+([IVX]*[VX][IVX]*|II|III)\b", _roman_ordinal),
        (rf"\b({forms.CROWNED})\s+(I)(?=\s*[,.;:?!]|\s*$|\s+(?:of|was)\b)", _roman_ordinal),
        (r"\b([A-Z][a-z]+)\s+(II|III|VI{1,3}|IX|XI{1,3}|XIV|XVI{0,3}|XIX|XXI?)\b", _roman_cardinal),
    ]


def _roman_cardinal(match: re.Match[str]) -> str:
    value = numbers.roman(match[2])
    return f"{match[1]} {numbers.cardinal(str(value))}" if value else match[0]


def _roman_ordinal(match: re.Match[str]) -> str:
    value = numbers.roman(match[2])
    return f"{match[1]} the {numbers.ordinal(str(value))}" if value else match[0]


def _plain_numbers():
    """Ordinals, years, versions, and every digit still left."""
    return [
        (r"\b(\d+(?:,\d{3})*)(?:st|nd|rd|th)\b", lambda m: numbers.ordinal(m[1]), re.I),
        (
            r"\b(\d+(?:\.\d+){2,})\b",
            lambda m: " point ".join(map(numbers.cardinal, m[1].split("."))),
        ),
        (r"(?<![\w.,])(1[1-9]\d{2}|20\d{2})(?!\w|[.,]\d)", _year),
        (
            rf"\b({forms.NUMBERED})\s+(\d{{3}})\b(?![.,]\d)",
            lambda m: f"{m[1]} {numbers.year(m[2])}",
        ),
        (r"(?<![\w.])-(?=\.?\d)", " minus "),
        (r"(?<=\d)(?=[A-Za-z])|(?<=[A-Za-z])(?=\d)", " "),
        (r"(?<=\d):(?=\d)", " to "),
        (r"(?<=\d)[-/](?=[\dA-Za-z])|(?<=[A-Za-z])-(?=\d)", " "),
        (_NUMBER, lambda m: f" {numbers.decimal(m[0].replace(',', ''))} "),
    ]


def _year(match: re.Match[str]) -> str:
    before = re.search(r"([A-Za-z]+)\W*$", match.string[: match.start()])
    after = re.match(r"\s+([a-z]+)", match.string[match.end() :])
    dated = before and before[1].lower() in forms.BEFORE_YEAR
    counts_things = (
        after
        and after[1].endswith("s")
        and after[1] not in {"is", "was", "has", "as", "this", "its"}
    )
    if counts_things and not dated:
        return numbers.cardinal(match[1])
    return numbers.year(match[1])


def _symbols():
    """What is left of the keyboard."""
    return [
        (r"\band/or\b", "and or"),
        (r"\s*&\s*", " and "),
        (r"%", " percent "),
        (r"@", " at "),
        (r"\+", " plus "),
        (r"=", " equals "),
        (r"\^ two\b", " squared "),
        (r"\^ three\b", " cubed "),
        (r"\^", " to the power of "),
        (r"°", " degrees "),
        (r"£", " pounds "),
        (r"€", " euros "),
        (r"¥", " yen "),
        (r"₹", " rupees "),
        (r"¢", " cents "),
        (r"\$", " dollars "),
        (r"[ ]*—[ ]*", " — "),
        (r"~(?= ?[a-z])", " about "),
        (r"[()\[\]]", ", "),
        (r"[#*_~|\\/{}]", " "),
    ]


def _words(text: str) -> str:
    """Decide for every word whether it is read or spelled."""
    long = re.findall(r"[A-Za-z]{2,}", text)
    shouted = len(long) > 1 and all(word.isupper() for word in long)
    text = re.sub(r"\b([A-Za-z]+)-(?=([A-Za-z]+))", _hyphen, text).replace("-", " ")
    # "STOP IT" is emphasis, "the IT team" is not.
    text = re.sub(r"\b([A-Z]{3,} )(IT|US)\b", lambda m: m[1] + m[2].lower(), text)
    return re.sub(
        r"[A-Za-z]+(?:'[A-Za-z]+)*", lambda m: _word(m[0].lower() if shouted else m[0]), text
    )


def _hyphen(match: re.Match[str]) -> str:
    """Join a prefix to its word ("re-enter"), part everything else ("well-known")."""
    joined = (match[1] + match[2]).lower()
    prefixed = (
        match[1].lower() in _PREFIXES and len(match[2]) > 2 and lexicon.known(match[2].lower())
    )
    electronic = match[1].lower() == "e" and lexicon.known(joined)
    return match[1] if prefixed or electronic else match[1] + " "


def _word(word: str) -> str:
    lower = word.lower()
    if len(word) == 1:
        return word
    stem, apostrophe, ending = word.partition("'")
    if stem.isupper() and len(stem) > 1 and ending in ("", "s"):
        return _capitals(stem) + apostrophe + ending
    if re.fullmatch(r"[A-Z]{2,}s", word) and not lexicon.known(lower):
        return _capitals(word[:-1]) + "'s"
    if lexicon.pronounce(lower):
        return word
    if not apostrophe and re.search(r"[a-z][A-Z]", word.removeprefix("Mc")):
        return " ".join(_word(part) for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", word))
    if _REPEATED.search(lower):
        times = (1, 2) if lower[-1] == lower[-3] else (2, 1)  # "sooo", "coool"
        shorter = (_REPEATED.sub(r"\1" * n, lower) for n in times)
        return next((w for w in shorter if lexicon.pronounce(w)), _REPEATED.sub(r"\1", lower))
    return word if re.search(r"[aeiouy]", lower) else _letters(stem) + apostrophe + ending


def _capitals(word: str) -> str:
    lower = word.lower()
    readable = lexicon.known(lower) or (len(word) > 5 and re.search(r"[AEIOUY]", word))
    return word if readable and lower not in forms.SPELT else _letters(word)


def _letters(word: str) -> str:
    return " ".join(word.upper())


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
