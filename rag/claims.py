"""A sentence that a model wrote, and the words of a file that it rests on: where they stand, and whether they carry it.

Both are exact. Words are found with white space and Unicode's ways of writing one character normalised, nothing else. A sentence
is carried when it says nothing more than its evidence: each rule below refuses, and what none refuses stands. The rules know
words, not meaning, so they refuse many a true paraphrase; what they were measured on is tests/data/support.jsonl.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise

from rag.spans import covered

ALIKE = str.maketrans({**dict.fromkeys("‘’‚‛′ʼ", "'"), **dict.fromkeys("“”„‟″«»", '"'), **dict.fromkeys("‐‑‒–—−", "-")})

TOKEN = re.compile(r"https?://\S+|www\.\S+|\d+(?:[.,]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)?|[%$€£@,;:()]|[.!?](?=\s)")
UNIT = {"b": "billion", "bn": "billion", "m": "million", "mn": "million", "k": "thousand", "x": "times", "%": "percent"}
SIGN = {"$": "dollar", "€": "euro", "£": "pound", "%": "percent"}
NUMERAL = dict(
    zip(
        "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split(),
        range(2, 17),
        strict=True,
    )
)
MONTH = frozenset("january february march april May june july august september october november december".split())
STOP = frozenset(
    "a an the this that these those it its he him his she her they them their we us our you your i me my who whom whose which "
    "what when where why how and or but so as while since in on at by for from to of with about into onto over per via between "
    "among through during after before under than then there here is are was were be been being am has have had having do does "
    "did done one s also such both each own same just now already because due until alone".split()
)
# Words that a sentence may have of its own: they say who speaks, or nothing.
LIGHT = frozenset("according say says said state states stated note notes noted report reported total amount called named".split())
REPORTING = frozenset("found says said reports reported notes noted warns warned states stated showed shows revealed".split())
NEGATION = frozenset(
    "not no never none neither nor without cannot fail fails failed refuse refused reject rejected deny denied lack lacks avoid "
    "avoids unlike instead few hardly rarely seldom barely false untrue myth".split()
)
HEDGE = frozenset(
    "may might could would should must can expect expects expected plan plans planned aim aims aimed propose proposed potential "
    "potentially reportedly alleged allegedly supposed supposedly rumoured rumored likely possible possibly claim claims "
    "claimed seem seems appear appears suggest suggests believe believes estimated forecast predicted projected warn warned "
    "argue argues demand demands demanded want wants wanted hope hopes hoped wish wishes asked urged requested accused "
    "suspected".split()
)
# Words without which a clause says something else: a condition, an order to say so, a share, a time that is over.
KEPT = frozenset(
    "if unless except provided say answer reply respond tell pretend output print repeat write insist some most half former "
    "formerly previously once longer yet nearly almost whether ?".split()
)
BOUND = frozenset("up least most nearly almost less fewer under over more only between".split())  # of a number
BESIDE = (HEDGE | KEPT | NEGATION | BOUND) - {"more", "less", "fewer"}  # not part of a name or an amount
NOW, THEN = frozenset("is are has have does do am".split()), frozenset("was were had did".split())
PAUSE = frozenset(", ; : ( ) . ! ?".split())
STOPS = frozenset(". ! ?".split())
CLAUSE = PAUSE | frozenset("and or but while whereas although though which who whose".split())  # where another subject may begin
ARTICLE = frozenset("a an the its his her their our this that these those".split())
PREPOSITION = frozenset(
    "since until in on at by for from to of with into onto via during after before inside outside towards against".split()
)
BEFORE = 3  # words in which a number's limit, or the preposition of a word, may stand before it


@dataclass(frozen=True, slots=True)
class _Token:
    """A word in lower case, a number as digits, a sign by its name."""

    text: str
    number: bool = False
    name: bool = field(default=False, compare=False)  # begins with a capital letter
    owner: bool = field(default=False, compare=False)  # in the possessive


@dataclass(frozen=True, slots=True)
class _Step:
    """A word of a sentence that its evidence has to follow."""

    word: str
    pause: bool  # a clause of the sentence's own begins before it
    preposition: str | None  # that leads it; None: any may
    owner: bool


def find_quote(words: str, text: str, start: int, end: int) -> tuple[int, int] | None:
    """Where `words` stand in `text[start:end]`, as offsets of `text`; None when they don't, or only inside of other words."""
    wanted = " ".join(_normalised(words)[0].split())
    if not re.search(r"\w", wanted):
        return None
    flat, offsets = _normalised(text[start:end])
    for match in re.finditer(re.escape(wanted), flat):
        first, last = match.span()
        if not _inside_word(flat, first) and not _inside_word(flat, last):
            return start + offsets[first][0], start + offsets[last - 1][1]
    return None


def _normalised(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Text with one form of each character and one space for each run of white space, and the part each character is from."""
    shown: list[str] = []
    offsets: list[tuple[int, int]] = []
    for match in re.finditer(r"\s+|[^\W\d_][\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u064b-\u065f\u3099\u309a]*|.", text, re.DOTALL):
        part = " " if match[0].isspace() else unicodedata.normalize("NFKC", match[0]).translate(ALIKE)
        part = "".join(char for char in part if unicodedata.category(char) != "Cf")  # written, but not seen
        if part == " " and shown and shown[-1] == " ":
            continue
        shown += part
        offsets += [match.span()] * len(part)
    return "".join(shown), offsets


def _inside_word(text: str, at: int) -> bool:
    return 0 < at < len(text) and text[at - 1].isalnum() and text[at].isalnum()


def unsupported(sentence: str, evidence: str, question: str = "", answers: Sequence[str] = (), context: str = "") -> str:
    """Why the evidence does not carry the sentence; "" when it does.

    `answers` are the parts of the evidence in which the reader found the answer to the question: with them a sentence may use
    the question's words. `context` are the headings over the evidence.
    """
    said, told = _tokens(sentence), _tokens(evidence)
    words = [token for token in said if _carries(token)]
    if not words:
        return "it says nothing"
    if number := strange_number(sentence, evidence):
        return f"the number {number} is not in its quote"
    for token in words:
        asked = answers and _has(question, token.text)
        if not (
            token.number
            or token.text in LIGHT
            or asked
            or _has(context, token.text)
            or any(_same(other, token.text) for other in told)
        ):
            return f"“{token.text}” is not in its quote"
    window = _window(said, told)
    if window is None:
        if not _restated(words, question, answers):
            return "it puts the words of its quote together in another way"
        window = told
    return _turned(said, window, told)


def strange_number(text: str, known: str) -> str:
    """The first number of `text` that is not in `known`; "" when all are."""
    held = {token.text for token in _tokens(known) if token.number}
    return next((token.text for token in _tokens(text) if token.number and token.text not in held), "")


def strange(text: str, known: str) -> str:
    """The first word or number of `text` that says something and is not in `known`; "" when all are."""
    held = _tokens(known)
    return next((token.text for token in _tokens(text) if _carries(token) and not any(_same(o, token.text) for o in held)), "")


def _window(said: Sequence[_Token], told: Sequence[_Token]) -> list[_Token] | None:
    """The shortest stretch of the evidence that the sentence follows word by word, with what stands just before; None without.

    What is left out between two words may not hold another clause, for that may be where their subject or their object was.
    """
    wanted: list[_Step] = []
    pause = False
    for i, token in enumerate(said):
        pause = pause or token.text in CLAUSE
        if _carries(token) and token.text not in LIGHT and any(_same(other, token.text) for other in told):
            wanted.append(_Step(token.text, pause, _led_by(said, i) if wanted else None, token.owner))
            pause = False
    dated = len(wanted)  # from here on the sentence only says when, which its evidence may have said first
    while dated > 1 and (wanted[dated - 1].word in MONTH or re.fullmatch(r"\d{1,2}|[12]\d{3}", wanted[dated - 1].word)):
        dated -= 1
    head, rest = wanted[: (named := _says_who(said, told))], wanted[named:]
    head = sorted((replace(step, preposition=None) for step in head), key=lambda step: _first_place(step, told))
    for order in (wanted, wanted[dated:] + wanted[:dated], head + rest, rest + head):
        if order and (found := _followed(order, told)):
            first, last = found
            first = _clause_start(told, first)  # "if", "not": what denies or limits the whole clause
            if first > 0 and told[first - 1].text == "," and told[before := _clause_start(told, first - 1)].text in KEPT:
                first = before  # "If you are late, …"
            stop = next((token for token in told[last + 1 :] if token.text in STOPS), None)
            return [*told[first : last + 1], *([stop] if stop and stop.text == "?" else [])]
    return None


def _says_who(said: Sequence[_Token], told: Sequence[_Token]) -> int:
    """How many of the words that the evidence has too stand in "A study by X found that …" or "According to X, …"."""
    texts = [token.text for token in said]
    end = next((i for i in range(1, len(texts)) if texts[i] == "that" and texts[i - 1] in REPORTING), 0)
    if texts[:2] == ["according", "to"]:
        end = next((i for i, text in enumerate(texts) if text == ","), 0)
    return sum(
        _carries(token) and token.text not in LIGHT and any(_same(other, token.text) for other in told) for token in said[:end]
    )


def _first_place(step: _Step, told: Sequence[_Token]) -> int:
    return next(i for i, token in enumerate(told) if _same(token, step.word))


def _clause_start(told: Sequence[_Token], at: int) -> int:
    while at > 0 and told[at - 1].text not in CLAUSE:
        at -= 1
    return at


def _followed(steps: Sequence[_Step], told: Sequence[_Token]) -> tuple[int, int] | None:
    """First and last place of the shortest stretch that has the words in order, nothing of another clause left out."""
    reached: dict[int, int] = {}  # place of the last word → the latest place to begin from
    for number, step in enumerate(steps):
        places = [
            i for i, token in enumerate(told) if _same(token, step.word) and token.owner == step.owner and _led_alike(step, told, i)
        ]
        if number == 0:
            reached = {i: i for i in places}
            continue
        reached = {
            i: max(begins)
            for i in places
            if (begins := [b for j, b in reached.items() if j < i and _joined(told[j + 1 : i], step.pause)])
        }
    ends = [(begin, end) for end, begin in reached.items() if not _leads(told[end + 1 : end + 2])]
    return min(ends, key=lambda span: span[1] - span[0], default=None)


def _joined(between: Sequence[_Token], pause: bool) -> bool:
    """Whether what stands between two words may be left out, with a pause or without.

    Not another name or number, not a noun that the first word belongs to, and without a pause no words of another clause.
    """
    if pause:
        return True
    led = any(token.text in PREPOSITION for token in between[:1])  # "prefer AWS [for AI deployment] because of …"
    if _leads(between[:1]) or any(token.number or (token.name and _carries(token) and not led) for token in between):
        return False
    return not any(token.text in CLAUSE for token in between) or not any(_carries(token) for token in between)


def _leads(after: Sequence[_Token]) -> bool:
    """Whether the next word makes the one before it a part of its name, as in "water pump"."""
    return any(
        _carries(token) and not token.number and token.text not in BESIDE and not token.text.endswith(("ly", "ing"))
        for token in after
    )


def _led_by(tokens: Sequence[_Token], at: int) -> str:
    """The preposition before a word, articles left out; "" without."""
    before = [token.text for token in tokens[max(0, at - 3) : at] if token.text not in ARTICLE][-2:]
    return before[-1] if before and before[-1] in PREPOSITION and before != ["according", "to"] else ""


def _led_alike(step: _Step, told: Sequence[_Token], at: int) -> bool:
    """Whether the word is led by no other preposition in the evidence: what went to a place did not come from it."""
    if step.preposition is None:
        return True
    if not step.preposition:
        return not _led_by(told, at)
    for token in reversed(told[max(0, at - 1 - BEFORE) : at]):
        if token.text in CLAUSE:
            break
        if token.text in PREPOSITION:
            return token.text == step.preposition
    return True


def _restated(words: Sequence[_Token], question: str, answers: Sequence[str]) -> bool:
    """Whether the sentence is the question with the reader's answer in it, each in its own order."""
    asked = _tokens(question)
    for found in map(_tokens, answers):
        if any((token.number or token.name) and _carries(token) and token not in words for token in found):
            continue  # "Bergen from platform two" is not about Oslo
        of_answer = [any(_same(token, word.text) for token in found) for word in words]
        rest = [word for word, own in zip(words, of_answer, strict=True) if not own]
        if _in_order(rest, asked) and _in_order([word for word, own in zip(words, of_answer, strict=True) if own], found):
            return True
    return False


def _in_order(words: Sequence[_Token], text: Sequence[_Token]) -> bool:
    at = 0
    for word in words:
        found = next((i for i in range(at, len(text)) if _same(text[i], word.text)), None)
        if found is None:
            return False
        at = found + 1
    return True


def _turned(said: Sequence[_Token], window: Sequence[_Token], told: Sequence[_Token]) -> str:
    """Whether the sentence leaves out what limits or denies the part of the evidence that it is about, or adds such."""
    words, about = {token.text for token in said}, {token.text for token in window}
    if bool(words & NEGATION) != bool(about & NEGATION):
        return "it denies what its quote says, or says what that denies"
    if left_out := (about & KEPT) - words or (not words & HEDGE and about & HEDGE):
        return f"it leaves out “{min(left_out)}”"
    if words & NOW and about & THEN and not about & NOW:
        return "it says of today what its quote says of the past"
    for token in said:
        if token.number and (missing := _unbound(token, words, told)):
            return f"it leaves out “{missing}”"
    return ""


def _unbound(number: _Token, words: set[str], told: Sequence[_Token]) -> str:
    """A word that belongs to the number everywhere in the evidence, its unit or its limit, and not in the sentence."""
    missing = ""
    for i, token in enumerate(told):
        if token != number:
            continue
        beside = [other for other in told[i + 1 : i + 2] if _carries(other)] or [o for o in told[max(0, i - 1) : i] if _carries(o)]
        near = [other.text for other in told[max(0, i - BEFORE) : i] if other.text in BOUND]
        if not re.fullmatch(r"[12]\d{3}", number.text):
            near += [other.text for other in beside if not other.number]
        missing = next((word for word in near if word not in words and not any(_has(have, word) for have in words)), "")
        if not missing:
            break
    return missing


def _same(token: _Token, word: str) -> bool:
    return token.text == word or _has(token.text, word)


@lru_cache(maxsize=65536)
def _has(text: str, word: str) -> bool:
    return covered({word: 1.0}, text) == 1.0


def _carries(token: _Token) -> bool:
    return token.number or (token.text not in STOP and token.text not in PAUSE)


def _tokens(text: str) -> list[_Token]:
    return list(_read(_normalised(re.sub(r"—|\s[–-]\s", " ; ", text.replace("\n", " ; ")) + " ")[0]))


def _read(text: str) -> Iterator[_Token]:
    """Numbers without separators, their units spelt out, currency after its number, address and name as they stand."""
    sign = ""
    matches = list(TOKEN.finditer(text))
    for match, after in pairwise([*matches, None]):
        if not match:
            continue
        word = match[0] if match[0] == "May" and match.start() else match[0].lower()  # the month is no hedge
        if word in "$€£":
            sign = SIGN[word]
            continue
        before = text[match.start() - 1 : match.start()]
        if word[0].isdigit():
            whole, _, part = word.replace(",", "").partition(".")
            part = part.rstrip("0")
            whole = whole.lstrip("0") or "0"
            yield _Token(f"{whole}.{part}" if part else whole, number=True)
        elif word in NUMERAL:
            yield _Token(str(NUMERAL[word]), number=True)
        elif word in UNIT and (before.isdigit() or word == "%"):
            yield _Token(UNIT[word])
        else:
            parts = [part for part in re.split(r"'s\b|(?<=n)'(?=t)|'", word) if part]
            yield from (_Token(part, name=match[0][0].isupper(), owner=word.endswith("'s")) for part in parts)
        if sign and not (after and re.match(r"\s?(?:b|bn|m|mn|k|billion|million|thousand)\b", text[match.end() :], re.I)):
            yield _Token(sign)
            sign = ""
