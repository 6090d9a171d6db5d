"""Whom and what a question names, and whether a passage speaks of them or of others in their place.

A name is what is written with a capital letter inside a sentence, a year, or a word with digits. In a question without capital
letters, a word counts as a name if the passages found for it write it as one and never otherwise.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import cached_property

from rag.fulltext import STOPWORDS

WORD = re.compile(r"\w+")
# Capitalised words after one in lower case: not the beginning of a sentence, nor a heading with every word capitalised.
INSIDE = re.compile(r"\b[a-z]+,? ['\"“‘(]?((?:[A-Z]\w*[ -]?)+)")
RUN = re.compile(r"[A-Z]\w*(?:[ -][A-Z]\w*)*")
LOWER = re.compile(r"\b[a-z]\w+")
BETWEEN = re.compile(r"[ -]|\. | & ")  # the words of one name
# Not part of an amount: "2019", but neither "$2019" nor "2,019" nor "2019 people".
YEAR = re.compile(r"(?<![\d.,$€£¥])(?:1\d|20)\d\d(?![\d%$€£¥]|[.,]\d| ?(?:[a-z]{3,}s|people|k?m)\b)")
OPENING = re.compile(r"(?:^|[.!?:]\s)\W*$")  # what a capital letter follows anyway
ORDINAL = re.compile(r"\d+(?:st|nd|rd|th|s)")
SPELT = re.compile(r"[A-Z]{2,5}")
STROKES = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe"})
GLUED = re.compile(r"(?<=[^\W\d_])(?=\d)")
ACCENTS = re.compile(r"[\u0300-\u036f]")  # once taken apart from their letters
# Written with a capital, but no names: parts of dates, forms of address and offices are written in many ways.
NO_NAMES = STOPWORDS | frozenset(
    "january february march april may june july august september october november december jan feb mar apr jun jul aug sep sept "
    "oct nov dec monday tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays thursdays fridays saturdays "
    "sundays dr mr mrs ms sir ceo cfo cto mp".split()
)


class Names:
    """The names in a question, and those in the passages found for it."""

    def __init__(self, question: str, passages: Iterable[str]) -> None:
        self.question = question
        self.passages = tuple(dict.fromkeys(passages))

    @cached_property
    def known(self) -> frozenset[str]:
        """Words that the passages write as names, in lower case."""
        names = {word.lower() for text in self.passages for run in INSIDE.findall(text) for word in WORD.findall(run)}
        return frozenset(names - {word for text in self.passages for word in LOWER.findall(text)} - NO_NAMES)

    @cached_property
    def asked(self) -> tuple[tuple[str, ...], ...]:
        """The question's names, each as its words."""
        question = unicodedata.normalize("NFC", self.question)
        # All capitals, or one on every word that says something: written as a heading, so they tell no names.
        telling = [word for word in WORD.findall(question)[1:] if word.lower() not in NO_NAMES and word[0].isalpha()]
        trusted = len(telling) < 3 or not all(word[0].isupper() for word in telling)
        trusted = trusted and any(char.isupper() for char in question)
        names: list[list[str]] = []
        end = -1  # of the last name
        for match in WORD.finditer(question):
            word = match[0]
            joins = end >= 0 and BETWEEN.fullmatch(question[end : match.start()]) is not None
            year = YEAR.match(question, match.start()) is not None
            joins = joins and not year and YEAR.fullmatch(names[-1][-1]) is None
            if word.isdigit():
                name = joins or year
            elif len(word) < 2 or word.lower() in NO_NAMES or ORDINAL.fullmatch(word):
                name = False
            elif trusted and not OPENING.search(question[: match.start()]):
                name = word[0].isupper() or any(char.isdigit() for char in word)
            else:
                name = word.lower() in self.known or any(char.isdigit() for char in word)
            if name and joins:
                names[-1].append(word)
            elif name:
                names.append([word])
            if name:
                end = match.end()
        return tuple(map(tuple, names))

    def unheld(self, *texts: str) -> list[tuple[str, ...]]:
        """The question's names that stand in none of the texts: fewer than half of their words do, nor their initials."""
        if not self.asked:
            return []
        whole = "\n".join(texts)
        folded = _folded(whole)
        return [name for name in self.asked if not _holds(whole, folded, name)]

    def named(self, *texts: str) -> bool:
        """Whether the texts speak of all that the question names."""
        return not self.unheld(*texts)

    def replaced(self, quoted: str, answer: tuple[int, int], context: str) -> bool:
        """Whether the quoted words name some of what is asked about, and in place of the rest another.

        `answer` is where in them the answer stands: what is named there is no rival. A name that stands in `context`, the
        passage's title and headings, is spoken of throughout, unless a rival stands there, too.
        """
        missing = self.unheld(quoted)
        if not missing or len(missing) == len(self.asked):
            return False
        rest = f"{quoted[: answer[0]]} | {quoted[answer[1] :]}"
        own = {word.lower() for word in WORD.findall(self.question)}
        others = (words for words in map(WORD.findall, RUN.findall(rest)) if not own & {word.lower() for word in words})
        rivals = {word for words in others for word in words if word.lower() in self.known}
        if not rivals & set(WORD.findall(context)):
            missing = [name for name in missing if name in self.unheld(context)]
        if any(YEAR.fullmatch(name[0]) for name in missing) and set(YEAR.findall(quoted)) - own:
            return True
        return bool(rivals) and any(not YEAR.fullmatch(name[0]) for name in missing)


def _holds(text: str, folded: str, name: tuple[str, ...]) -> bool:
    held = [_stands(word, text, folded) for word in name]
    if sum(held) * 2 >= len(name) and all(stands or not word.isdigit() for word, stands in zip(name, held, strict=True)):
        return True
    return len(name) > 2 and re.search(rf"\b{re.escape(''.join(word[0] for word in name))}\b", text) is not None


def _stands(word: str, text: str, folded: str) -> bool:
    """Whether a word stands in a text: in another form ("Germany" for "Germans"), or spelt out when it is initials."""
    stem = _folded(word)
    stem = stem.removesuffix("s") if len(stem) > 4 or (word[:-1].isupper() and len(word) > 2) else stem
    ends = "" if len(stem) > 4 and not stem[-1].isdigit() else r"(?:s|es)?\b"
    if re.search(rf"\b{re.escape(stem)}{ends}", folded):
        return True
    if SPELT.fullmatch(word) is None:
        return False
    initials, where = (word, text) if len(word) == 2 else (word.lower(), folded)  # in two small letters many words begin
    return re.search(r"\b" + r"\w+[ -](?:(?:of|and|for|the) )?".join(initials) + r"\w", where) is not None


def _folded(text: str) -> str:
    """Lower case, without accents, and with a space between a word and its number: "graviton 4"."""
    return GLUED.sub(" ", ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold())).translate(STROKES))
