"""Do the files say the same? Answers from different places, normalised and compared."""

import re
from collections.abc import Sequence

# Numbers with magnitudes and units, dates and plain words, each to one form: "$8 billion", "USD 8bn" and "8,000 million
# dollars" are one amount; "March 3, 2024", "3 March 2024" and "2024-03-03" one day.
MAGNITUDES = {
    "k": 3, "thousand": 3, "m": 6, "mn": 6, "mio": 6, "million": 6, "b": 9, "bn": 9, "billion": 9,
    "t": 12, "tn": 12, "trillion": 12,
}  # fmt: skip
CURRENCIES = {
    "$": "usd",
    "usd": "usd",
    "dollar": "usd",
    "€": "eur",
    "eur": "eur",
    "euro": "eur",
    "£": "gbp",
    "gbp": "gbp",
    "pound": "gbp",
}
WORD_NUMBERS = {word: i for i, word in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())}
MONTHS = {month: i for i, month in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1)}
NUMBER = re.compile(
    r"(?P<currency>[$€£]|\busd\b|\beur\b|\bgbp\b)?\s*"
    r"(?<![\w.])(?P<number>\d{1,3}(?:[,.’'\u00a0\u202f ]\d{3})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,]\d+)?)"
    r"(?:[\s-]?(?P<magnitude>thousand|million|billion|trillion|bn|mn|mio|tn|[kmbt])\b)?\s*"
    r"(?P<unit>%|per ?cent\b|percent\b|[a-zμ°][\w°/]*)?",
    re.IGNORECASE,
)
ISO_DATE = re.compile(r"\b(\d{4})-(\d{1,2})(?:-(\d{1,2}))?\b")
DAY_FIRST = re.compile(r"\b(\d{1,2})(?:st|nd|rd|th)?\s+([a-z]{3,9})\.?,?(?:\s+(\d{4}))?\b", re.IGNORECASE)
MONTH_FIRST = re.compile(r"\b([a-z]{3,9})\.?\s+(?:(\d{1,2})(?:st|nd|rd|th)?\b,?\s*)?(\d{4})?\b", re.IGNORECASE)
YEAR = re.compile(r"\b(1[5-9]\d\d|20\d\d)\b")
ARTICLES = re.compile(
    r"\b(?:a|an|the|over|about|around|nearly|almost|approximately|some|roughly|more than|up to|ca)\b|[~≈]", re.IGNORECASE
)


def quantities(text: str) -> frozenset[tuple[str, float]]:
    """The amounts a text names, as (unit or currency, value); dates are not amounts."""
    bare = MONTH_FIRST.sub(_blank_date, DAY_FIRST.sub(_blank_date, ISO_DATE.sub(" ", text)))
    found = set()
    for match in NUMBER.finditer(bare):
        digits = match["number"].strip(" .,'’")
        value = _value(digits)
        if value is None:
            continue
        magnitude = (match["magnitude"] or "").lower()
        unit = (match["unit"] or "").lower().rstrip("s")
        currency = CURRENCIES.get((match["currency"] or "").lower(), "")
        if not currency and not magnitude and not unit and YEAR.fullmatch(digits):
            continue
        if unit in CURRENCIES:
            currency, unit = CURRENCIES[unit], ""
        if unit in ("percent", "per cent"):
            unit = "%"
        found.add((currency or unit, value * 10.0 ** MAGNITUDES.get(magnitude, 0)))
    return frozenset(found)


def _blank_date(match: re.Match[str]) -> str:
    return " " if any(part and part[:3].lower() in MONTHS for part in match.groups()) else match[0]


def _value(digits: str) -> float | None:
    """1,234.5 · 1.234,5 · 1 234 · 12 → a float; the last mark before one or two digits is the decimal one."""
    plain = re.sub(r"[\s’']", "", digits)
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", plain):
        plain = plain.replace(",", "")
    elif re.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:\.\d{3}){2,}", plain):
        plain = plain.replace(".", "").replace(",", ".")
    else:
        plain = plain.replace(",", ".")
    try:
        return float(plain)
    except ValueError:
        return None


def dates(text: str) -> frozenset[tuple[int, int, int]]:
    """The dates a text names, as (year, month, day), 0 for what is not said."""
    found: set[tuple[int, int, int]] = set()
    rest = text
    for match in ISO_DATE.finditer(text):
        found.add((int(match[1]), int(match[2]), int(match[3] or 0)))
        rest = rest.replace(match[0], " ")
    for match in DAY_FIRST.finditer(rest):
        month = MONTHS.get(match[2][:3].lower())
        if month:
            found.add((int(match[3] or 0), month, int(match[1])))
            rest = rest.replace(match[0], " ")
    for match in MONTH_FIRST.finditer(rest):
        month = MONTHS.get(match[1][:3].lower())
        if month and (match[2] or match[3]) and match[1][:1].isupper():
            found.add((int(match[3] or 0), month, int(match[2] or 0)))
            rest = rest.replace(match[0], " ")
    found.update((int(year), 0, 0) for year in YEAR.findall(rest))
    return frozenset(found)


def same(one: str, other: str) -> bool:
    """Whether two answers say the same: equal amounts, dates that fit each other, or one's words inside the other's."""
    amounts, others = quantities(one), quantities(other)
    if amounts and others:
        return any(x == y and (unit == other_unit or not unit or not other_unit) for unit, x in amounts for other_unit, y in others)
    days, other_days = dates(one), dates(other)
    if days and other_days:
        return any(all(a == b or 0 in (a, b) for a, b in zip(x, y, strict=True)) for x in days for y in other_days)
    a, b = _words(one), _words(other)
    return bool(a and b) and (a <= b or b <= a)


def differ(one: str, other: str) -> bool:
    """Whether two answers of the same kind (amounts of one unit, dates) contradict each other; words alone never do."""
    amounts, others = quantities(one), quantities(other)
    if amounts and others:
        return not same(one, other) and bool({unit for unit, _ in amounts} & {unit for unit, _ in others})
    return bool(dates(one) and dates(other)) and not bool(amounts or others) and not same(one, other)


def _words(text: str) -> frozenset[str]:
    words = re.findall(r"\w+", ARTICLES.sub(" ", text.lower()))
    return frozenset(str(WORD_NUMBERS.get(word, word)) for word in words)


def groups(answers: Sequence[str]) -> list[list[int]]:
    """Indices of answers that say the same, together; the first answer's group comes first."""
    found: list[list[int]] = []
    for i, answer in enumerate(answers):
        home = next((group for group in found if any(same(answers[j], answer) for j in group)), None)
        if home is None:
            found.append([i])
        else:
            home.append(i)
    return found
