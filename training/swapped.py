"""Questions that ask of another what a text says of one: a dev question with a name or year in it exchanged.

Each is a near miss by construction: the text speaks of what is asked, but not about that. They teach the calibration what the
features `named` and `replaced` are worth; near misses written by hand are mostly of other kinds.
"""

from __future__ import annotations

import random
import re

from rag.fulltext import STOPWORDS
from rag.names import NO_NAMES, YEAR
from rag.spans import covered

NAME = re.compile(r"(?<![.!?:\n\"“'‘•–—|/-])(?<!^) (?:the )?([A-Z][\w]*(?:[- ][A-Z][\w]*){0,2})(?![\w])")
SENTENCE = re.compile(r"\n+|(?<=[.!?])\s+")
WORD = re.compile(r"\w+")
TELLING = 0.5  # a sentence that holds more of the question's other words may say it of the other name, too


def names(text: str) -> dict[str, int]:
    """{name: how often} of up to three capitalised words inside a sentence."""
    found: dict[str, int] = {}
    for sentence in SENTENCE.split(text):
        for name in NAME.findall(sentence):
            if len(name) > 2 and name.lower() not in STOPWORDS and not NO_NAMES & set(name.lower().split()):
                found[name] = found.get(name, 0) + 1
    return found


def swap(question: str, text: str, answers: list[str], others: list[str] | None, rng: random.Random) -> str | None:
    """The question about another of the text's names or years, or, if given, about one of `others` that the text doesn't mention.

    None when it names nothing, or nothing fits in its place: no part of an answer, nothing in a sentence with one.
    """
    of_text = names(text)
    places = [(start, end, of_text) for start, end in _places(question, list(of_text))]
    places += [(match.start(), match.end(), dict.fromkeys(YEAR.findall(text), 1)) for match in YEAR.finditer(question)]
    rng.shuffle(places)
    sentences = [sentence for sentence in SENTENCE.split(text) if sentence.strip()]
    answering = [sentence for sentence in sentences if any(answer in sentence for answer in answers)]
    for start, end, pool in places:
        asked = question[start:end]
        rest = {word: 1.0 for word in WORD.findall((question[:start] + question[end:]).lower()) if word not in STOPWORDS}
        candidates = list(pool if others is None else others)
        if others is not None and YEAR.fullmatch(asked):
            candidates = [str(int(asked) + years) for years in (-3, -2, 2, 3)]
        rng.shuffle(candidates)
        for other in candidates if rest else []:
            words = dict.fromkeys(WORD.findall(other.lower()), 1.0)
            in_question = covered(words, question) > 0
            in_answer = any(other.lower() in answer.lower() or answer.lower() in other.lower() for answer in answers)
            beside_answer = any(set(WORD.findall(other)) & set(WORD.findall(sentence)) for sentence in answering)
            if others is not None:
                said = other.lower() in text.lower()
            else:
                said = any(covered(rest, sentence) > TELLING for sentence in sentences if other in sentence)
            if not (in_question or in_answer or beside_answer or said):
                return question[:start] + (other.lower() if asked.islower() else other) + question[end:]
    return None


def _places(question: str, of_text: list[str]) -> list[tuple[int, int]]:
    """Where the question has names of the text, in any case, longest first and none inside another."""
    found: list[tuple[int, int]] = []
    for name in sorted(of_text, key=len, reverse=True):
        for match in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", question, re.IGNORECASE):
            if not any(match.start() < end and start < match.end() for start, end in found):
                found.append(match.span())
    return sorted(found)
