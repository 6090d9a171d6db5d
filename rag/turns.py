"""One question of a conversation, taken apart: its parts, the names in it, and what it is about. A shallow parse, no model."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rag.types import Answer
from rag.wording import (
    ARTICLE,
    AUXILIARY,
    BASE,
    BE,
    COMPANY_NOUN,
    FUNCTION,
    GENERIC,
    INTO,
    LEAD,
    MONTH,
    NAME,
    PLACES,
    PREP,
    PREPOSITION,
    QUESTION,
    SPEAKER,
    THING_NOUN,
    TIME,
    VERB,
    WH,
)

LONGEST_TURN = 200  # characters; a longer text brings its own subject
LONGEST_NAME = 60  # characters of an answer that may stand for a pronoun

Spelled = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier question, as it was understood, taken apart ("How much" "did" "Amazon" "invest" "in Anthropic"), and answered."""

    text: str  # without its question mark
    wh: str  # "" for a yes-or-no question and a request
    aux: str  # "" where the question word itself is the subject ("Who leads AWS?") and for a request
    subject: str  # "" likewise, and where no verb was recognised
    verb: str  # "" likewise: `rest` is then all that follows, as in "Who is the CEO of AWS?"
    rest: str
    named: str  # the answer when it is a name, or ""
    quoted: str  # the first quote, "" for a refusal

    @property
    def asked(self) -> str:
        """What is asked for by kind or count: "chips" of "which chips", "data centres" of "how many data centres"."""
        share = r"(?: (?:share|percentage|part|number))?(?: of)?(?: the)?"
        match = re.match(rf"(?:how (?:many|much)|which|what){share} (.+)", self.wh, re.I)
        return match[1] if match else ""

    @property
    def adjunct(self) -> bool:
        """Whether the question word could be exchanged for "why" and leave a whole sentence."""
        return not self.asked and (self.wh.lower().split() or ["why"])[0] in ("when", "where", "why", "how", *PREPOSITION)

    @property
    def object(self) -> str:
        """The object of the verb: "the contract", "" for none."""
        found = re.match(rf"(?!{PREP}\b|{WH}\b|that\b|whether\b)(\S.*?)(?= (?:{PREP}|and|or) |$)", self.rest, re.I)
        name = re.match(rf"{NAME}(?!['’\w])", found[1]) if found else None  # "Anthropic" of "what makes Anthropic different"
        return (name[0] if name else found[1]) if found and self.verb else ""


def read_turn(answer: Answer, spelled: Spelled) -> Turn | None:
    """The turn to be referred to; None for one that asks nothing: thanks, or a pasted page."""
    asked = answer.understood or answer.question
    text = stripped(" ".join(asked.split())) if len(asked) <= LONGEST_TURN else ""
    if not re.search(r"\w{3}", text):
        return None
    short = (answer.short or "")[: LONGEST_NAME + 1].strip(" \n\t\"'“”‘’.,;:()")
    names = names_in(short, opening=True) if len(short) <= LONGEST_NAME and "\n" not in short else []
    named = short if names and len(names[0]) >= 0.6 * len(short) else ""
    quoted = answer.quotes[0].text[:600] if answer.answered and answer.quotes else ""
    text = cased(text, spelled)
    return Turn(text, *_parse(text), named, quoted)


def stripped(text: str) -> str:
    """A question without its mark and the "and" or "ok" before it, "what's" written out; "" when nothing is left."""
    text = text.rstrip(" ?.!…") + " "
    text = text[lead.end() :] if (lead := LEAD.match(text)) else text
    return re.sub(rf"(?i)^({WH})['’]?s\b", r"\1 is", text.strip())


def _parse(text: str) -> tuple[str, str, str, str, str]:
    """Question word, auxiliary, subject, verb and rest of a question; all but the rest are empty for a request."""
    words = text.split()
    low = [word.lower().strip(",.;:") for word in words]
    first = 1 if low[0] in PREPOSITION and len(low) > 1 else 0  # "in which year", "since when"
    at = 0
    if low[first] in QUESTION:
        noun = {"which": 1, "whose": 1, "how": 2}.get(low[first], 0)  # it may look like a verb: "which plans", "how many offers"
        for at in range(first + 1, len(low)):
            if low[at] in AUXILIARY:
                break
            known = is_verb(low[at]) or low[at].endswith("ed")
            led_to = low[at - 1] not in PREPOSITION and not {*low[at + 1 : at + 2]} & {*AUXILIARY}
            if known and led_to and at > first + noun:
                return " ".join(words[:at]), "", "", low[at], " ".join(words[at + 1 :])
    if low[at] not in AUXILIARY:
        return "", "", "", "", text
    wh, aux, body, inner = " ".join(words[:at]), low[at], words[at + 1 :], low[at + 1 :]
    open_subject = re.match(r"(?i)who|what|which|how (?:many|much)", wh) is not None
    verbs = []
    for i, word in enumerate(inner):
        before = inner[i - 1] if i else ""
        form = word in BASE or word.endswith(("ed", "ing")) if aux in (*BE, "has", "have", "had") else word in VERB or word == "be"
        known = (form and is_verb(word)) or before in ("i", "you", "we")
        if known and (i or open_subject) and before not in (*ARTICLE, *PREPOSITION) and not before.endswith(("'s", "’s")):
            verbs.append(i)
    if verbs:
        noun = inner[0] in ARTICLE and len(verbs) > 1 and {*AUXILIARY}.isdisjoint(inner[verbs[0] : verbs[1]])
        at = verbs[noun]  # "the night train to Oslo leave": not the train
        return wh, aux, " ".join(body[:at]).removesuffix(" being"), inner[at], " ".join(body[at + 1 :])
    return (wh, "", "", aux, " ".join(body)) if aux in ("has", "have") and wh else (wh, aux, "", "", " ".join(body))


# --- verbs ------------------------------------------------------------------------------------------------------------


def is_verb(word: str) -> bool:
    """Whether a word may be a form of a verb that is known."""
    return base_form(word) in VERB or word == "be"


def base_form(verb: str) -> str:
    """The infinitive of a verb's form, the form itself when the verb is not known."""
    if verb in VERB or verb in BASE:
        return BASE.get(verb, verb)
    for ending, added in (("ies", "y"), ("es", ""), ("s", ""), ("ied", "y"), ("ed", ""), ("d", ""), ("ing", ""), ("ing", "e")):
        stem = verb.removesuffix(ending) + added
        if verb.endswith(ending) and (known := [form for form in (stem, stem[:-1]) if form in VERB]):
            return known[0]
    return verb


def inflected(verb: str, ending: str) -> str:
    """A verb's form with "s", "ed" or "ing"."""
    if ending == "ing":
        double = verb[-1] if re.fullmatch(r"(?:re|com|sub|for|be)?[^aeiou]*[aeiou][^aeiouwxy]", verb) else ""
        return verb.removesuffix("e") + double + ending
    irregular = {base: form for form, base in reversed(BASE.items()) if form.endswith("s") == (ending == "s")}
    stem = re.sub(r"(?<=[^aeiou])y$", "ie", verb)
    return irregular.get(verb) or (stem.removesuffix("e") if ending == "ed" else stem) + ending


# --- names ------------------------------------------------------------------------------------------------------------


def names_in(text: str, *, opening: bool = False) -> list[str]:
    """Runs of words that name somebody or something; `opening`: also a first word with a capital, though a sentence has one."""
    first = re.match(r"[A-Z][a-z'’]*(?!\S)", text)
    start = first.end() if first and not opening else 0
    found = [name.group() for name in re.compile(NAME).finditer(text, start)]
    return [name for name in found if not re.fullmatch(TIME, name) and not GENERIC.issuperset(name.lower().split())]


def is_name(phrase: str) -> bool:
    """Whether a phrase, but for an article and a possessive, is a name."""
    bare = re.sub(r"^(?:the|an?) |['’]s?$", "", phrase)
    return names_in(bare, opening=True) == [bare]


def kind_of(phrase: str) -> str:
    """What a phrase names: "time", "place" or, when that cannot be told, "name"; "" for no name at all."""
    words = re.sub(r"^(?:the|an?) |['’]s?$", "", phrase.strip().lower()).split()
    if re.fullmatch(TIME, " ".join(words)):
        return "time"
    if words and PLACES.issuperset(words):
        return "place"
    return "name" if names_in(phrase, opening=True) else ""


def cased(phrase: str, spelled: Spelled, said: str = "") -> str:
    """Names typed in small letters as they are written in what was said, else in the files; left where there are capitals."""
    if re.search(r"(?<!^)[A-Z]", phrase):
        return phrase
    for word in {*re.findall(r"[\w-]+", phrase)} - {*FUNCTION, *COMPANY_NOUN, *THING_NOUN}:
        if is_verb(word):
            continue
        seen = re.search(rf"(?<=\w )(?=\w*[A-Z])(?i:{re.escape(word)})\b", said)
        written = word.capitalize() if re.fullmatch(MONTH, word) else seen.group() if seen else spelled(word)
        phrase = re.sub(rf"(?<![\w-]){re.escape(word)}(?![\w-])", written, phrase) if word.islower() else phrase
    return phrase


def be_of(noun: str) -> str:
    """ "is" or "are", as a noun with what follows it takes."""
    head = re.split(rf" {PREP} ", noun)[0]
    return "are" if re.search(r"\b[a-z]+[^\Wsui]s$", head) and not noun.startswith("what ") else "is"


# --- what a question is about -----------------------------------------------------------------------------------------


def thing_of(turn: Turn) -> str:
    """What "it" is after this question, "" if that cannot be told."""
    wh, names, person = turn.wh.lower(), names_in(turn.text), bool(turn.subject) and _is_person(turn.subject, turn)
    whole = re.split(rf" (?:in|on|since|by|as of|at) (?={TIME})", turn.rest)[0]
    if not turn.verb and not turn.aux:
        topic = re.sub(r"(?i)^(?:tell me|explain|describe|define|summari[sz]e)(?: more)?(?: about)? ", "", turn.text)
        return "" if re.match(rf"(?i)(?:{WH}|{PREP}) ", topic) else topic
    if not turn.verb and turn.aux not in BE:  # a verb that is not known
        return (names or [""])[0]
    if not turn.verb and wh in ("who", "whose"):
        return (names or [""])[-1]
    if not turn.verb and wh not in ("", "why"):
        if turn.named and re.match(r"the\b.*\b(?:of|for|behind)\b", turn.rest, re.I):
            return turn.named
        if turn.asked and re.match(rf"{PREP} ", turn.rest):
            return f"the {turn.asked} {turn.rest}"  # "What pressure is on the board?"
        whole = re.sub(r"^the [a-z ]+ of (?=(?:the )?[A-Z])", "", whole)  # "the deadline of Apollo": it is Apollo
        return re.split(r" (?:built|made|used|good)\b| for$", whole)[0]
    if not turn.verb:  # a yes-or-no question about the name that it begins with, or the noun with its article
        name = next((name for name in names_in(turn.rest, opening=True) if turn.rest.find(name) <= 4), "")
        phrase = re.split(rf" {PREP} ", turn.rest)[0].split()
        article = phrase[:1] and phrase[0] in ("the", "a", "an", "this", "my", "our", "its", "their")
        return name or " ".join(phrase[: max(2, len(phrase) - 1)] if article else phrase[:1])
    if turn.asked and not turn.asked.endswith("s") and re.match(r"(?:which|what) (?!share|percent|part|number)", wh):
        does = inflected(turn.verb, "s") if turn.aux == "does" else inflected(turn.verb, "ed") if turn.aux == "did" else ""
        return turn.named or (
            f"the {turn.asked} that {turn.subject} {does} {turn.rest}" if turn.subject and does else f"the {turn.asked}"
        )
    if wh == "what" and turn.subject and turn.aux in BE and turn.verb.endswith("ing"):
        return f"what {turn.subject} {turn.aux} {turn.verb} {turn.rest}"
    if not turn.subject or turn.subject.lower() in SPEAKER:
        return turn.object or (names or [""])[0]
    if person and not turn.adjunct:
        return turn.rest.removeprefix("about ") if turn.rest.startswith("about ") else turn.named
    acted_on = turn.object if turn.adjunct and (person or kind_of(turn.subject) == "name") else ""
    if acted_on.startswith(("the ", "its ")) or kind_of(acted_on):  # "When did Amazon confirm the plan?": the plan
        return f"{turn.subject}'s {whole[4:]}" if whole.startswith("its ") else whole
    return turn.subject


def several_of(turn: Turn) -> str:
    """Who or what "they" are after this question, "" if that cannot be told."""
    if turn.asked and not turn.subject and (turn.asked.endswith("s") or turn.wh.lower().startswith("how many")):
        return turn.named or turn.asked
    if turn.asked.endswith("s") and kind_of(turn.subject) == "name":
        return f"the {turn.asked} of {turn.subject}"
    thing = thing_of(turn)
    return thing if kind_of(thing) == "name" or be_of(thing) == "are" else find_name("company", [turn])


def called_in(turn: Turn) -> str:
    """The name in a question that may be somebody's, though nothing else shows it: its only one, or one of several words."""
    names = names_in(turn.text)
    own = [name for name in names if kind_of(name) == "name" and not re.search(rf"{re.escape(name)}['’]s", turn.text)]
    return next((name for name in own if name.replace(" ", "").isalpha() and (" " in name or len(names) == 1)), "")


def find_name(kind: str, turns: Sequence[Turn]) -> str:
    """The person, company or place that was named last: in a question, its answer or, but for a place, its quote; or ""."""
    for turn in turns:
        if kind_of(turn.named) in ("name", "place") and (turn.wh.lower(), kind) in (("who", "person"), ("where", "place")):
            return turn.named
        named = sorted(names_in(turn.text), key=lambda name: _is_located(name, turn) != (kind == "place"))
        for name in [*named, turn.named, *names_in("" if kind == "place" else turn.quoted)]:
            if name and _sort(name, turn) == kind:
                return name
    return ""


def _sort(name: str, turn: Turn) -> str:
    """ "person", "place" or, of a name that is neither, "company"."""
    kind = "place" if _is_located(name, turn) else kind_of(name)
    return "person" if _is_person(name, turn) else "company" if kind == "name" else kind


def _is_located(name: str, turn: Turn) -> bool:
    """Whether the question has something in or near what the name names; what one invests in is no place."""
    found = re.search(rf"(.*)\b(?:in|near|across|throughout|outside|within) (?:the )?{re.escape(name)}", turn.text)
    return found is not None and not INTO.search(found[1])


def _is_person(name: str, turn: Turn) -> bool:
    """Whether a name is somebody's: the question or the quote has its bearer speaking, or in an office."""
    last = re.escape(name.split()[-1])
    office = r"(?:CEO|CTO|CFO|President|Chairman|Mr\.?|Mrs\.?|Ms\.?|Dr\.?|Prof(?:essor|\.)?)"
    speaks = r"(?:say|said|says|think|emphasi[sz]ed|noted|expressed|reveal|revealed|argued|explained|wrote|told|added)"
    shown = rf"{office} (?:\w+ )?{last}\b|\b{speaks} (?:\w+ )?{last}\b|\b{last},? {speaks}\b|According to {last}\b"
    asked = turn.rest == name and turn.wh.lower() == "who"  # "Who is Ada Lovelace?"
    return kind_of(name) == "name" and (asked or re.search(shown, f"{turn.quoted}\n{turn.text}") is not None)
