"""Questions to begin with, made from sentences of the documents: each is one that its own sentence answers.

No model: a sentence of a known shape ("X was opened in 1911") is turned round ("When was X opened?"). A sentence that fits no
shape gives no question, and so does one whose subject is a pronoun, or whose case or grammar is in doubt.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from rag.catalog import Catalog
from rag.render import one_line
from rag.types import Chunk

DOCUMENTS = 16  # looked at, however many there are
CHUNKS = 96  # of all of them together
LONGEST = 90  # characters of a question
UNTOLD = frozenset({"code", "table"})  # kinds of documents that hold no sentences

# --- words ------------------------------------------------------------------------------------------------------------

WORD = r"[\w’'+&-]+"
NAME = r"[A-Z][\w’'+&-]*(?: (?:(?:of|the|and|for|de|van|von) )?[A-Z][\w’'+&-]*| \d+){0,4}"
PERSON = r"[A-Z][\w’'-]+(?: [A-Z]\.)?(?: (?:de|van|von|der))*(?: [A-Z][\w’'-]+){1,2}"
THING = rf"[A-Z][\w’'+&-]*(?: {WORD}){{0,8}}?"
LEAD = r"(?:(?:Since|In|By|After|Under|So far|As of) ?[\w ]{0,25}?,? )?"  # may stand before the subject
MONTH = r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
DATE = rf"(?:(?:\d{{1,2}} )?{MONTH}(?: \d{{1,2}})?(?:,? \d{{4}})?|\d{{4}}|\d{{4}}-\d\d-\d\d)"
WEEKDAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?"
SMALL = r"(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty|ninety)"
NUMBER = rf"(?:\d[\d,.]*\d|\d|{SMALL}(?:-{SMALL})?)"
CLOCK = rf"(?:\d{{1,2}}[:.]\d\d|\d{{1,2}} ?[ap]\.?m\.?|noon|midnight|{SMALL}\b(?! \w+s\b)|one o['’]clock)"
CURRENCY = r"(?:dollars?|euros?|cents?|pounds?|francs?|crowns?|kron[eo]r|rupees|yen|EUR|USD|GBP|CHF)"
MONEY = rf"(?:[$€£]\s?\d[\d.,]*(?:[MBK]\b|\s?(?:million|billion|trillion)\b)?|{NUMBER} (?:(?:million|billion) )?{CURRENCY}\b)"
ABOUT = r"(?:about |around |over |more than |nearly |almost |up to |at least |at most |only |just |roughly )?"

# The form after "does": regular verbs lose their s, these are written out.
BASE = {"has": "have", "does": "do", "goes": "go", "carries": "carry", "closes": "close", "finishes": "finish"}
PAST = {"written": "wrote", "drawn": "drew", "begun": "began", "given": "gave", "taken": "took", "sung": "sang"}
PRESENT = {"spent": "spend", "invested": "invest", "raised": "raise", "paid": "pay"}
PARTICIPLE = (
    r"(?:\w{2,}ed|built|lit|written|begun|made|sold|held|found|sent|bought|won|given|taken|laid|set up|drawn|born|struck|hung|cut)"
)
ROLE = (
    r"(?:CEO|CFO|CTO|COO|chief executive(?: officer)?|chair(?:man|woman|person)?|president|vice president|director|"
    r"managing director|mayor|captain|founder|co-founder|head|editor|coach|principal|treasurer|secretary|conductor|"
    r"librarian|manager|chef|head chef)"
)
PEOPLE = re.compile(
    rf"\b(?:{ROLE}|\w+(?:ist|ician|ologist|grapher)|writer|author|poet|painter|composer|engineer|inventor|teacher|nurse|doctor|"
    r"professor|lawyer|explorer|king|queen|emperor|philosopher|novelist|actor|actress|singer|player|keeper|pilot|farmer|baker|"
    r"carpenter|gardener|architect|sculptor|programmer|biologist|man|woman)\b",
    re.IGNORECASE,
)
# A subject that holds one of these leans on what stands before it, or is no subject at all.
LEANING = frozenset(
    "it its this that these those they their them he she his her him we our us you your i my me there here which who whom whose "
    "what when where why how if while although though because since after before but and or so then than as another other others "
    "one some many most both such each same above below following first second third next last latter former however is are was "
    "were be been has have had will would can could should may might must do does did not no never also only even".split()
)
DETERMINERS = frozenset({"the", "a", "an"})
UNITS = frozenset(
    "hundreds thousands millions hundred thousand million billion dozen times percent seconds minutes hours days weeks months "
    "years centimetres metres meters kilometres kilometers miles feet grams kilograms tonnes litres bytes kilobytes megabytes "
    "gigabytes terabytes watts volts degrees dollars euros pounds cents".split()
)
BEFORE_NAMES = frozenset(
    "in on at by for from with of to as during under over besides after before until since unlike like table".split()
)
THINGS = frozenset(
    "agency airport album algorithm app application association band bank board book bridge building business camp campaign castle "
    "church city club collaboration college committee company compiler conference cooperative council county database dataset "
    "device disease drug engine enzyme factory ferry festival film format foundation framework game gene group harbour hospital "
    "hotel institute instrument island journal kingdom lake language laboratory library lighthouse machine magazine mammal "
    "material method metric mineral model mountain movement museum network newspaper novel organisation organization orchestra "
    "park partnership peninsula plant platform port practice process product program programme project protein protocol province "
    "publisher region restaurant river road robot ruin school schooner sensor server service ship shop site software song species "
    "standard startup station statue street studio system team technique technology telescope temple theatre theorem tool town "
    "toolkit train trail treaty university vaccine vehicle vessel village virus volcano website winery yacht".split()
)
AFTER_HEAD = re.compile(
    r",|\b(?:of|for|that|which|who|whose|in|with|without|to|behind|from|at|on|by|and|or|where|when|used|designed|made|built|based|"
    r"located|written|founded|run|between|under|near|is|was|allowing|serving|known|called)\b"
)
VAGUE = frozenset("company companies report article document thing things result results study team page section file".split())

# --- sentences --------------------------------------------------------------------------------------------------------

BULLET = re.compile(r"^(?:[-*+•·–—>#▪◦]+|\(?\d{1,2}[.)]|[^\w\s\"“‘'(\[*_`$€£]+)\s+")
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
EMPHASIS = re.compile(r"(\*\*|__|\*|_|`)(\S(?:.*?\S)?)\1")
ASKABLE = re.compile(r"[A-Z][\w ’'.,&/$€£%+-]*\?")


BARE = re.compile(r"\w+ (?:many \w+ |much )?(?:is|are|was|were|do|does|did) (?:the )?[a-z]+(?: [a-z]+)?\?")
BARE_RANK = 100  # "When does the canteen open?" tells a newcomer less than a question with a name in it: it comes later


def suggest(catalog: Catalog, count: int = 4) -> list[str]:
    """At most `count` questions that the indexed documents answer; the same ones for the same index.

    They are spread over the documents and of several kinds. However many documents there are, few are looked at.
    """
    found: list[list[_Idea]] = []
    for chunks in _sample(catalog):
        text = " ".join(chunk.text for chunk in chunks)
        once = {idea.question: idea for chunk in chunks for idea in _ideas(chunk, text)}
        found.append(list(once.values()))
    chosen: list[_Idea] = []
    while len(chosen) < count and any(found):
        for ideas in found:  # one from each document in turn, of a shape that is not there yet where it has one
            ideas[:] = [idea for idea in ideas if not any(_alike(idea, other) for other in chosen)]
            ideas.sort(key=lambda idea: (sum(idea.rank == other.rank for other in chosen), idea.rank))
            if ideas and len(chosen) < count:
                chosen.append(ideas.pop(0))
    return [idea.question for idea in chosen]


@dataclass(frozen=True, slots=True)
class _Idea:
    question: str
    rank: int  # of the shape it was made by: the surer ones first


def _alike(one: _Idea, other: _Idea) -> bool:
    """Whether two questions ask about the same: most of the shorter one's words are the other's."""
    words, others = (set(re.findall(r"\w+", idea.question.lower())[2:]) - LEANING - DETERMINERS for idea in (one, other))
    return len(words & others) >= 0.6 * max(1, min(len(words), len(others)))


def _sample(catalog: Catalog) -> Iterator[list[Chunk]]:
    """The first chunks of documents spread evenly over the catalogue, document by document."""
    lowest, highest = catalog.db.execute("SELECT min(id), max(id) FROM documents").fetchone()
    if lowest is None:
        return
    step = (highest - lowest + 1) / DOCUMENTS
    wanted = sorted({lowest + int(i * step) for i in range(DOCUMENTS)})
    numbers: dict[int, str] = {}
    for at in wanted:
        row = catalog.db.execute("SELECT id, kind FROM documents WHERE id >= ? AND state = 0 ORDER BY id LIMIT 1", (at,)).fetchone()
        if row is not None:
            numbers[row[0]] = row[1]
    told = [number for number, kind in numbers.items() if kind not in UNTOLD]
    for number in told:
        limit = max(1, CHUNKS // len(told))
        rows = catalog.db.execute("SELECT id FROM chunks WHERE document = ? ORDER BY ordinal LIMIT ?", (number, limit)).fetchall()
        chunks = catalog.chunks([row[0] for row in rows])
        yield [chunks[chunk_id] for chunk_id in sorted(chunks)]


def _ideas(chunk: Chunk, around: str) -> Iterator[_Idea]:
    """The questions that a chunk's sentences answer; `around` tells which words are names."""
    for start, end in chunk.sentences:
        sentence = _plain(chunk.text[start - chunk.start : end - chunk.start])
        if not 15 <= len(sentence) <= 400:
            continue
        for rank, (shape, question) in enumerate(SHAPES):
            for match in shape.finditer(sentence):
                asked = question(match, around)
                if asked and len(asked) <= LONGEST and ASKABLE.fullmatch(asked) and " -" not in asked:
                    yield _Idea(asked, rank + (BARE_RANK if BARE.fullmatch(asked) else 0))


def _plain(text: str) -> str:
    """A sentence without the signs of Markdown, bullets, pictures."""
    text = EMPHASIS.sub(r"\2", LINK.sub(r"\1", one_line(text)))
    while (shorter := BULLET.sub("", text)) != text:
        text = shorter
    return text


def _subject(text: str, around: str) -> str:
    """A subject as it stands inside a sentence ("The bakery" → "the bakery"); "" when that is in doubt."""
    words = re.sub(r" (?:now|currently|still|already|first|usually|always)$", "", text).split()
    first, rest = words[0], words[1:]
    if LEANING & {word.lower() for word in words} or len(words) > 9:
        return ""
    if first.lower() in DETERMINERS:
        if not rest or rest[-1].lower() in VAGUE or rest[0].lower() in VAGUE:
            return ""
        return " ".join([first.lower(), *rest])
    if first.endswith(("’s", "'s")) or _is_name(first, rest, around):
        return " ".join(words)
    return " ".join([first.lower(), *rest]) if re.search(rf"\b{re.escape(first.lower())}\b", around) else ""


def _one(text: str, around: str) -> str:
    """A subject that names one thing, which "a bridge" does not."""
    subject = _subject(text, around)
    return "" if subject.startswith(("a ", "an ")) else subject


def _is_name(first: str, rest: Sequence[str], around: str) -> bool:
    """Whether the capital of a sentence's first word is its own, not the sentence's."""
    if any(char.isupper() or char.isdigit() for char in first[1:]) or (rest and rest[0][:1].isupper()):
        return True
    return re.search(rf"[a-z,] {re.escape(first)}\b", around) is not None


def _does(verb: str) -> str:
    return BASE.get(verb, verb.removesuffix("s"))


# --- shapes -----------------------------------------------------------------------------------------------------------


def _role(match: re.Match[str], around: str) -> str:
    """ "AWS CEO Matt Garman" """
    return f"Who is the {match['role']} of {match['of']}?"


def _amount(match: re.Match[str], around: str) -> str:
    """ "Amazon has invested over $8 billion in Anthropic" """
    subject = _subject(match["s"], around)
    return f"How much has {subject} {match['verb']} {match['to']}?" if subject else ""


def _amount_then(match: re.Match[str], around: str) -> str:
    """ "AWS alone spent over $15 billion on servers in 2022" """
    subject = _subject(match["s"], around)
    if not subject or LEANING & set(match["to"].lower().split()) - {"in"}:
        return ""
    return f"How much did {subject} {PRESENT[match['verb']]} {match['to']}?"


def _who_is(match: re.Match[str], around: str) -> str:
    """ "Ines Holt is the managing director" """
    return f"Who {match['be']} the {match['role']}?"


def _when_done(match: re.Match[str], around: str) -> str:
    """ "The bridge was opened in 1911" """
    subject = _one(match["s"], around)
    leans = LEANING & set(match["rest"].lower().split())
    return f"When {match['be']} {subject} {match['done']}{match['rest']}?" if subject and not leans else ""


def _who_did(match: re.Match[str], around: str) -> str:
    """ "The bridge was designed by Ada Stern" """
    subject = _one(match["s"], around)
    return f"Who {PAST.get(match['done'], match['done'])} {subject}?" if subject else ""


def _who_does(match: re.Match[str], around: str) -> str:
    """ "Ada Stern designed the bridge at Hallow" """
    words = match["what"].lower().split()
    return "" if LEANING & set(words) or words[-1] in VAGUE else f"Who {match['did']} {match['what']}?"


def _price(match: re.Match[str], around: str) -> str:
    """ "A bun costs 90 cents" """
    subject = _subject(match["s"], around)
    return f"How much does {subject} cost?" if subject else ""


def _size(match: re.Match[str], around: str) -> str:
    """ "The tower is 45 metres high" """
    subject = _subject(match["s"], around)
    return f"How {match['how']} {match['be']} {subject}?" if subject else ""


def _how_many(match: re.Match[str], around: str) -> str:
    """ "The village has 212 inhabitants" """
    subject = _one(match["s"], around)
    if not subject or UNITS & set(match["what"].split()):
        return ""
    do = "does" if match["verb"].endswith("s") else "do"
    return f"How many {match['what']} {do} {subject} {_does(match['verb']) if do == 'does' else match['verb']}?"


def _when_does(match: re.Match[str], around: str) -> str:
    """ "The bakery on Mill Street opens at six" """
    subject = _one(match["s"], around)
    return f"When does {subject} {_does(match['verb'])}?" if subject else ""


def _where_from(match: re.Match[str], around: str) -> str:
    """ "The night train to Oslo leaves from platform nine" """
    subject = _one(match["s"], around)
    return f"Where does {subject} {_does(match['verb'])} from?" if subject else ""


def _where_is(match: re.Match[str], around: str) -> str:
    """ "The spare keys are kept in the blue cupboard" """
    subject = _one(match["s"], around)
    return f"Where {match['be']} {subject} {match['lies']}?" if subject else ""


def _what_figure(match: re.Match[str], around: str) -> str:
    """ "The annual fee is 45 euros", "The deadline for drawings is 4 May" """
    subject = _subject(match["s"], around)
    return f"{'When' if match['date'] else 'What'} {match['be']} {subject}?" if subject else ""


def _designed_for(match: re.Match[str], around: str) -> str:
    """ "Trainium2 Architecture: Designed for training" """
    return f"What is {match['s']} designed for?" if not LEANING & set(match["s"].lower().split()) else ""


def _definition(match: re.Match[str], around: str) -> str:
    """ "AWS Bedrock: A managed service …", "Kestrel is a scheduling tool", "Project Rainier, a collaboration with …" """
    name, words = match["s"], match["s"].split()
    if LEANING & {word.lower() for word in words} or words[0].lower() in DETERMINERS | BEFORE_NAMES or name.endswith(("’s", "'s")):
        return ""
    if len(words) == 1 and (not _is_name(name, (), around) or re.search("[a-z]s$", name)):
        return ""
    if len(re.findall("[A-Z]", name)) > 5 and name.isupper():  # a heading
        return ""
    kind = [word for word in AFTER_HEAD.split(match["what"], maxsplit=1)[0].split() if word][-1:]
    if PEOPLE.search(match["what"].partition(",")[0]) and kind and PEOPLE.fullmatch(kind[0]):
        return f"Who {match['be'] or 'is'} {name}?"
    return f"What {match['be'] or 'is'} {name}?" if kind and kind[0].lower() in THINGS else ""


def _own_question(match: re.Match[str], around: str) -> str:
    """ "How do I reset the router?", as a list of frequent questions has it"""
    return "" if {"it", "this", "that", "these", "those", "they", "them"} & set(match[0].lower().rstrip("?").split()) else match[0]


Turn = Callable[[re.Match[str], str], str]
DO = r"(?:invested|spent|raised|paid|donated|committed)"
DID = r"(?:founded|invented|designed|discovered|wrote|built|painted|composed|developed|created)"
DEFINED = r"(?P<what>[a-z0-9]?[A-Z]{0,4}[\w’'-]* [\w’' -]{5,})"
SHAPES: list[tuple[re.Pattern[str], Turn]] = [
    (re.compile(pattern), turn)
    for pattern, turn in chain(
        [
            (
                r"(?:^|[a-z][,;:]? |[“\"(])(?<!former )(?P<of>[A-Z][\w&]+(?: [A-Z][\w&]+)?) "
                rf"(?P<role>CEO|CFO|CTO|COO|president|mayor) {PERSON}",
                _role,
            ),
            (
                rf"^{LEAD}(?P<s>{NAME}) (?:has|have) (?:already |since |so far )?(?P<verb>{DO}) {ABOUT}{MONEY} "
                rf"(?P<to>(?:in|on) {NAME})",
                _amount,
            ),
            (
                rf"^{LEAD}(?P<s>{NAME})(?: alone)? (?P<verb>spent|invested|raised|paid) {ABOUT}{MONEY} "
                rf"(?P<to>(?:in|on|for) (?:the )?{WORD}(?: (?!in\b|and\b|to\b|while\b|which\b|as\b){WORD}){{0,3}}(?: in \d{{4}})?)",
                _amount_then,
            ),
            (
                rf"^{PERSON} (?P<be>is|was) the (?P<role>{ROLE}(?: of (?:the )?{WORD}(?: (?!and\b|who\b|in\b){WORD}){{0,3}})?)[.,]",
                _who_is,
            ),
            (
                rf"^(?P<s>{THING}) (?P<be>was|were) (?:first )?(?P<done>{PARTICIPLE})"
                rf"(?P<rest>(?: (?!by\b|in\b|on\b){WORD}){{0,5}}?) (?:in|on) {DATE}\b",
                _when_done,
            ),
            (
                rf"^(?P<s>{THING}) (?:was|were) (?P<done>written|designed|founded|built|painted|invented|discovered|composed|"
                rf"developed|created|drawn) (?:in {DATE} )?by (?:the \w+ )?{PERSON}",
                _who_did,
            ),
            (
                rf"^{PERSON} (?P<did>{DID}) (?P<what>(?:the |a )?{WORD}(?: (?!in\b|and\b|with\b|when\b|as\b|by\b){WORD}){{0,5}})",
                _who_does,
            ),
            (rf"^(?P<s>{THING}) costs {ABOUT}{MONEY}", _price),
            (rf"^(?P<s>{THING}) (?P<be>is|are) {ABOUT}{NUMBER} \w+ (?P<how>high|tall|long|wide|deep|old|thick)\b", _size),
            (
                rf"^(?P<s>{THING}) (?P<verb>has|have|holds|seats|employs|contains|carries|needs|owns) {ABOUT}{NUMBER} "
                r"(?P<what>(?:[a-z-]+ )?[a-z]+s)(?= (?:and|in|on|at|of|with|for|that|which|to|from)\b|[.,;]|$)",
                _how_many,
            ),
            (
                rf"^(?P<s>{THING}) (?P<verb>opens|closes|starts|begins|ends|leaves|departs|arrives|finishes) "
                rf"(?:(?:every|each) {WORD} )?(?:at {CLOCK}|on (?:{WEEKDAY}|{DATE}))",
                _when_does,
            ),
            (rf"^(?P<s>{THING}) (?P<verb>leaves|departs|starts|sails) from ", _where_from),
            (
                rf"^(?P<s>{THING}) (?P<be>is|are) (?P<lies>located|kept|stored|buried|parked) "
                r"(?:in|at|near|under|behind|beside|next to) ",
                _where_is,
            ),
            (
                rf"^(?P<s>The {WORD}(?: {WORD}){{0,6}}?) (?P<be>is|are) {ABOUT}"
                rf"(?:{MONEY}|{NUMBER} (?:%|percent|days|weeks|months|years)(?! (?:old|long|away|ago))|"
                rf"(?P<date>(?:on )?(?:\d{{1,2}} {MONTH}|{MONTH} \d{{1,2}})))",
                _what_figure,
            ),
            (rf"^(?P<s>{NAME}?)(?: Architecture)?: Designed for ", _designed_for),
            (rf"^(?P<s>{NAME})(?P<be>): (?:An? |The (?=most |first |only )){DEFINED}", _definition),
            (rf"^(?P<s>{NAME}) (?P<be>is|was) an? {DEFINED}", _definition),
            (rf"(?:^|\b(?:of|with|by|called|named) )(?P<s>{NAME})(?P<be>), (?:an?|the) {DEFINED}", _definition),
            (r"^(?:What|When|Where|How) (?:do|can|should) I [^?]{8,70}\?$", _own_question),
        ]
    )
]
