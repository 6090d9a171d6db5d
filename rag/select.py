"""Quotes that answer → the ones worth showing, and whether their files agree."""

import re
from collections.abc import Sequence

from rag.agreement import differ, groups, same
from rag.quotes import highlighted
from rag.types import Agreement, Quote, Side

# Questions that several passages answer together; others have one answer, which other files may share or dispute.
OPEN = re.compile(
    r"^\s*(?:why|how come|explain|describe|summari[sz]e|compare|list|name|tell me)\b"
    r"|^\s*how\s+(?!much|many|long|old|far|often|big|large|fast|high|tall|deep|heavy|soon|late|early|bad)\b"
    r"|\b(?:compared?|comparison|versus|vs\.?|differences?|pros and cons|say about|overview)\b"
    r"|\b(?:what|which)(?:\s+\w+){0,2}\s+are\b|\b(?:and|or)\s+why\b",
    re.IGNORECASE,
)
# A yes or no is a conclusion, and the files' words are what is quoted: such a question gets the deciding sentence, no short answer.
YES_NO = re.compile(
    r"^\s*(?:is|are|was|were|am|do|does|did|has|have|had|can|could|will|would|shall|should|may|might|must)(?:n['’]t)?\s",
    re.IGNORECASE,
)
REDUNDANT = 0.8  # share of a quote's words that stand in one already chosen, from which it says nothing new


def choose(question: str, quotes: Sequence[Quote], most: int) -> list[Quote]:
    """Which of the quotes that answer (best first) are shown: at most `most`.

    A question with one answer gets the best passage, and those of other places that give the same answer or dispute it. An
    open one (why, how, lists, comparisons) gets passages that differ in content.
    """
    open_question = OPEN.search(question) is not None
    chosen: list[Quote] = []
    for quote in quotes:
        if len(chosen) == most:
            break
        if not chosen:
            new = True
        elif open_question:
            new = all(_shared(quote.text, other.text) < REDUNDANT for other in chosen)
        else:
            new = same(_main(chosen[0]), _main(quote)) or differ(_main(chosen[0]), _main(quote))
        if new:
            chosen.append(quote)
    return chosen


def short_answer(question: str, quotes: Sequence[Quote]) -> str | None:
    """The words that answer, from the best quote; None for a question whose answer would be yes or no."""
    return None if not quotes or YES_NO.match(question) else _main(quotes[0])


def _main(quote: Quote) -> str:
    """The words of a quote's best answer."""
    return highlighted(quote)[0]


def _shared(text: str, other: str) -> float:
    words, others = set(re.findall(r"\w+", text.lower())), set(re.findall(r"\w+", other.lower()))
    return len(words & others) / max(1, len(words))


def agreement(question: str, quotes: Sequence[Quote]) -> Agreement | None:
    """How the quotes' answers stand to each other; None for an open question or one file alone."""
    if OPEN.search(question) or len({quote.source for quote in quotes}) < 2:
        return None
    answers = [_main(quote) for quote in quotes]
    sides = []
    for group in groups(answers):
        files = tuple(dict.fromkeys(quotes[i].source for i in group))
        sides.append(Side(answer=answers[group[0]], files=files))
    if len(sides) == 1:
        return Agreement(agree=True, sides=tuple(sides))
    disputed = [side for side in sides[1:] if differ(sides[0].answer, side.answer) and set(side.files) - set(sides[0].files)]
    return Agreement(agree=False, sides=(sides[0], *disputed)) if disputed else None
