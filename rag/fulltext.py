"""Search by words: the catalogue's FTS5 table, asked for passages and for how rare a word is."""

import json
import math
import re
from collections import Counter
from collections.abc import Sequence

from rag.catalog import Catalog

WORD = re.compile(r"\w+")
TERMS = 64  # words of a question that are looked up
SPELLINGS = 50  # passages that are looked through for how a word is written
RARELY = 10  # a name is written in small letters less often than once in so many times
# Words of a question that say nothing about its subject; left in, they make every chunk a BM25 match.
STOPWORDS = frozenset(
    "a about an and any are as at be been being but by can could did do does doing for from had has have how i if "
    "in into is it its me much my of on or our shall should so some than that the their them then there these they "
    "this those to us was we were what when where which who whom whose why will with would you your".split()
)


def content_words(question: str) -> list[str]:
    """The words of a question that say what it is about, each once; all of them when none does."""
    words = list(dict.fromkeys(WORD.findall(question.lower())))
    return [word for word in words if word not in STOPWORDS] or words


def search(catalog: Catalog, question: str, limit: int, among: Sequence[int] | None = None) -> list[tuple[int, float]]:
    """(chunk id, BM25 score), best first: FTS5's own, k1 = 1.2, b = 0.75; title and heading count as much as the body."""
    terms = content_words(question)[:TERMS]
    if not terms:
        return []
    query = " OR ".join(map(_quoted, terms))
    where, values = "", [query]
    if among is not None:
        where = "AND rowid IN (SELECT value FROM json_each(?))"
        values.append(json.dumps(list(among)))
    rows = catalog.db.execute(
        f"SELECT rowid, -rank FROM fulltext WHERE fulltext MATCH ? {where} ORDER BY rank, rowid LIMIT ?", (*values, limit)
    )
    return [(number, float(score)) for number, score in rows]


def rarity(catalog: Catalog, question: str) -> dict[str, float]:
    """{content word of the question: log(1 + chunks / (1 + chunks that hold it))}: a word that no chunk holds weighs most."""
    (chunks,) = catalog.db.execute("SELECT count(*) FROM chunks").fetchone()
    weights = {}
    for term in content_words(question)[:TERMS]:
        (count,) = catalog.db.execute("SELECT count(*) FROM fulltext WHERE fulltext MATCH ?", (_quoted(term),)).fetchone()
        weights[term] = math.log(1 + chunks / (1 + count))
    return weights


def spelled(catalog: Catalog, word: str) -> str:
    """A name as the files write it: "Microsoft" for "microsoft"; any word that they write in small letters too, as it is."""
    rows = catalog.db.execute("SELECT body FROM fulltext WHERE fulltext MATCH ? LIMIT ?", (f"body : {_quoted(word)}", SPELLINGS))
    inside = re.compile(rf"(?<=[\w,;] ){re.escape(word)}\b", re.IGNORECASE)
    found = Counter(match.group() for (body,) in rows for match in inside.finditer(body))
    small = found.pop(word.lower(), 0)
    return max(found, key=lambda written: (found[written], written)) if found.total() > RARELY * small else word


def _quoted(term: str) -> str:
    """A word as FTS5's query language takes it: never as an operator."""
    return f'"{term}"'
