"""A question of a conversation → one that stands alone.

No language model: closed word lists, a shallow parse of the question before, and three moves. A question word ("since when?",
"who said that?") takes the place of the one before, a fragment ("And Microsoft?", "in 2023?") that of its like in the question
before, and a pronoun becomes what that question was about or what its answer named. Whatever names its own subject is left as
it was typed: a follow-up missed is asked again, a good question bent is answered wrongly.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rag.types import Answer

LONGEST = 2000  # characters of a completed question, as many as a question may have
LONGEST_FOLLOWUP = 200  # characters; a longer text brings its own subject
LONGEST_NAME = 60  # characters of an answer that may stand for a pronoun
LOOK_BACK = 6  # turns that a follow-up may refer to

# --- words ------------------------------------------------------------------------------------------------------------

ARTICLE = ("the", "a", "an")
BE = ["is", "are", "was", "were"]
AUXILIARY = [*BE, *"do does did has have had can could will would shall should may might must".split()]
QUESTION = "what which who whom whose when where why how".split()
PREPOSITION = (
    "in on at by for from to of with about since until before after during under over per via between among through into against "
    "within without than like besides".split()
)
FUNCTION = [*AUXILIARY, *QUESTION, *PREPOSITION]  # and all other words that name nothing
FUNCTION += (
    "a an the this that these those and or but so if because unless while although then there here it its he his him she her they "
    "their them i my me you your we our us not no yes also too else even ever just only very much many more most less least few "
    "some any all both each every other another same such be been being am as well please ok okay hi hello thanks thank tell give "
    "show explain describe compare list name find summarize define translate let say".split()
)
COMPANY = (
    "Amazon AWS Google Alphabet GCP Microsoft Azure OpenAI Anthropic NVIDIA AMD Intel Meta Facebook Apple IBM Oracle Tesla Samsung "
    "Alibaba Baidu Tencent Huawei DeepMind Mistral Gartner McKinsey Deloitte Netflix SAP Salesforce Siemens Sony Toyota BMW".split()
)
PLACE = (
    "Africa America Asia Europe Australia Asia-Pacific USA UK EU England Ireland France Germany Spain Portugal Italy Austria "
    "Switzerland Belgium Netherlands Denmark Norway Sweden Finland Poland Ukraine Russia India China Japan Korea Taiwan Singapore "
    "Israel Egypt Nigeria Canada Mexico Brazil California Texas Indiana Ohio Virginia London Paris Berlin Oslo Tokyo".split()
)
WRITTEN = {name.lower(): name for name in (*COMPANY, *PLACE) if name not in ("Meta", "Apple", "Oracle", "Alphabet")}
PLACES = {*map(str.lower, PLACE), *"us u.s north south east west latin central middle united states kingdom".split()}
GENERIC = {*"ai ceo cto cfo coo it llm llms gpu gpus cpu cpus api apis co2 ml pdf i".split()}  # capitals that name nothing
VERB = frozenset(
    "accept acquire add affect agree allow announce apply appoint approve arrive ask become begin believe belong bring build "
    "buy call cancel carry cause change charge claim close come commit compare compete complete confirm consume contain "
    "contribute control cost cover create cut deal decide define delete deliver depend design destroy develop die discover "
    "displace do download drive drop earn emit employ enable end estimate exceed exist expand expect expire explain face fail "
    "fall find finish fit follow forecast form found fund gain generate get give go grow handle happen have help hire hold host "
    "improve include increase install introduce invest invent join keep know lack lag launch lead learn leave let limit live look "
    "lose lower make manage mean measure mention merge move need note offer open operate order own partner pay perform plan power "
    "prefer produce promise propose provide publish put raise reach read receive recommend reduce reject release rely remain renew "
    "replace report require reset return reveal rise run save say see sell send serve ship show sign solve spend stand start stay "
    "stop store submit suggest supply support switch take talk tell think threaten train travel try turn unveil update use visit "
    "vote want warn weigh win work write".split()
)
_FORMS = (
    "became:become began:begin brought:bring built:build bought:buy came:come did:do does:do drove:drive fell:fall got:get "
    "gave:give went:go goes:go grew:grow had:have has:have held:hold kept:keep knew:know led:lead left:leave lost:lose made:make "
    "meant:mean paid:pay put:put cut:cut cost:cost rose:rise ran:run said:say saw:see sold:sell sent:send spent:spend stood:stand "
    "took:take told:tell thought:think won:win wrote:write taken:take given:give known:know seen:see shown:show "
    "driven:drive grown:grow begun:begin"
)
BASE = dict(pair.split(":") for pair in _FORMS.split())  # irregular forms, the past before the participle → the infinitive
COMPANY_NOUN = "company companies firm startup provider vendor business organization organisation".split()
THING_NOUN = (
    "project plan chip chips processor system service product model platform tool deal partnership agreement investment programme "
    "program device network cluster law region country place backlog study report building".split()
)
OWNED = "price cost ceo cto cfo founder budget revenue size headquarters purpose goal deadline owner".split()
SINGULAR = {"do": "does", "are": "is", "have": "has", "were": "was"}
SPEAKER = ("i", "you", "we", "one", "people")  # subjects of a question that are not what it is about


def _any(words: Iterable[str]) -> str:
    return f"(?:{'|'.join(map(re.escape, sorted(words, reverse=True)))})"


AUX, PREP, WH, NOUN = _any(AUXILIARY), _any(PREPOSITION), _any(QUESTION), _any(COMPANY_NOUN + THING_NOUN)
MONTH = r"(?:january|february|march|april|may|june|july|august|september|october|november|december|q[1-4])"
TIME = rf"(?i:\b(?:(?:{MONTH} )?(?:18|19|20|21)\d\d(?:-\d\d)?|{MONTH}|(?:last|next|this) (?:year|month|week|quarter))\b)"
_NAME = rf"(?!(?i:{_any(FUNCTION)})(?![\w-]))(?:(?i:{_any(WRITTEN)})(?![\w-])|[\w-]*[A-Z](?:[\w&.-]*\w)?)"
NAME = rf"(?<![\w'’.-]){_NAME}(?: {_NAME}| \d{{1,2}}(?:\.\d+)?(?![\w%.]))*"
LEAD = re.compile(r"(?i)(?:(?:and|but|or|so|also|ok|okay|oh|well|then|right|yes|no|thanks|thank you|thx|great|now)\b[\s,.:!–-]*)+")
ABOUT = re.compile(r"(?i)(?:w(?:ha|ah)t|hwat|wat|how)(?:['’]?s)?\s+(?:about|abt|abuot|aboout|bout|of)\s+(?=\S)")
WHY = re.compile(
    r"(?i)why|how come|how so|what for|(?:what (?:is|was) )?the (?:reason|cause)(?: (?:for|of) (?:that|this|it))?"
    r"|why so \w+|why (?:is |was |did |does )?(?:that|this|it|so|not|exactly)(?: so| the case| happen(?:ed)?)?"
)
MORE = re.compile(r"(?i)(?:please )?(?:(?:tell|give|show) me )?(?:some )?(?:more(?: details?| information)?|details)(?: please)?")
REPORTER = re.compile(
    r"(?i)(?P<asks>(?:who|which \w+|where|when) (?:has |did )?(?:sa(?:y|ys|id)|claim\w*|estimat\w+|report\w*|predict\w*|warn\w*"
    r"|wrote|forecast\w*|found|calculat\w+|thinks?|thought))(?: (?:that|this|it|so))?|says who"
)
EVENT = re.compile(
    rf"(?i)(?P<wh>(?:{PREP} )?(?:when|where|why|how|(?:what|which) (?:year|month))) (?P<aux>{AUX}) (?:it|this|that|he|she|they) "
    r"(?:all )?(?P<verb>\w+)(?: (?:that|this|it|so))?"
)
COMPARISON = re.compile(
    r"(?i)(?:compared (?:to|with)|(?:is|was|are|were) (?:that|this|it|they) (?:much |any |even |still )?"
    r"(?:more|less|higher|lower|larger|bigger|greater|smaller|fewer) than) (?P<other>(?!what|who).+)"
)
TOO = re.compile(rf"(?i)(?P<aux>{AUX}) (?P<who>.+?)(?: (?:do|doing) (?:that|so|it|the same))?(?: too| also| as well)?")
BARE = re.compile(
    rf"(?i)(?P<wh>(?:(?:according|compared) (?:to|with) |because of |{PREP} )?{WH}(?: many| much)?(?: [^\s?(]+)?)"
    rf"(?P<tail> {PREP} .+)?"
)
PRONOUN = re.compile(
    rf"(?i)\b(?:(?P<that>that|this|these|those|the) (?P<noun>{NOUN})\b(?! {PREP}\b)"
    r"|(?P<word>it|its|he|him|his|she|hers?|they|them|theirs?|there|that|this|these|those)\b)(?P<is>['’]s\b)?"
)
# "It", "that" and "they" that refer to nothing said before.
EMPTY = re.compile(
    r"(?i)\b(?:(?:is|was|would|will|does|did|has|how long|how much) (?:be )?it (?:be |really |still |ever )?"
    r"(?:(?:true|possible|legal|safe|worth|okay|necessary|important|better|easy|hard|likely|known|take|cost|make sense)"
    r" (?:to|that|if|when)\b|that\b)|what time is it|it (?:is|was|seems|takes|took) (?:\w+ ){0,2}(?:that|to|like)|it rains?"
    r"|(?:do|did) they call|(?:those|that) (?:who|which|of|about)|there (?:is|are|was|were)|(?:is|are|was|were|be|been) there)\b"
)
CLAUSE_END = re.compile(
    r"(?i)[,;:]|\b(?:and|or|but|because|if|when|while|where|whose|who|which|that|since|after|before|so|how|why)\b"
)
GRADED = r"(?:(?:more|less) \w+|better|worse|(?!number|paper|power|server|computer|user|partner|order)\w{3,}er)"


# --- the conversation and the question -----------------------------------------------------------------------------------


def complete(question: str, history: Sequence[Answer], *, longest: int = LONGEST) -> str:
    """The question as it reads without the conversation before it; the question itself when it stands alone.

    `history` holds the conversation's answers, oldest first; the last six count. The result is at most `longest` characters
    when the question is, and is unchanged when completed again with the same history.
    """
    completed = _completed(question, history)
    if completed == question or len(completed) > longest:
        return question
    # One that would itself be completed was built wrongly: better to ask what was typed.
    return completed if _completed(completed, history) == completed else question


def _completed(question: str, history: Sequence[Answer]) -> str:
    typed = " ".join(question.split()) if len(question) <= LONGEST_FOLLOWUP else ""
    turns = [turn for turn in map(_turn, reversed(history[-LOOK_BACK:])) if turn] if typed else []
    asked = _bare(typed)
    if not turns or not asked:
        return question
    made = _from_question_word(asked, turns) or _from_fragment(asked, typed, turns) or _from_pronouns(asked, turns)
    if not made:
        return question
    made = " ".join(made.split()).rstrip("?.! ")
    return made[:1].upper() + made[1:] + ("" if made.endswith(")") else "." if made.startswith(("Tell", "Explain")) else "?")


def _bare(text: str) -> str:
    """A question without its mark and the "and" or "ok" before it, "what's" written out; "" when nothing is left."""
    text = text.rstrip(" ?.!…") + " "
    text = text[lead.end() :] if (lead := LEAD.match(text)) else text
    return re.sub(rf"(?i)^({WH})['’]?s\b", r"\1 is", text.strip())


@dataclass(frozen=True, slots=True)
class _Turn:
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


def _turn(answer: Answer) -> _Turn | None:
    """The turn to be referred to; None for one that asks nothing: thanks, or a pasted page."""
    asked = answer.understood or answer.question
    text = _bare(" ".join(asked.split())) if len(asked) <= LONGEST_FOLLOWUP else ""
    if not re.search(r"\w{3}", text):
        return None
    short = (answer.short or "")[: LONGEST_NAME + 1].strip(" \n\t\"'“”‘’.,;:()")
    names = _names(short, opening=True) if len(short) <= LONGEST_NAME and "\n" not in short else []
    named = short if names and len(names[0]) >= 0.6 * len(short) else ""
    return _Turn(text, *_parse(text), named, answer.quotes[0].text[:600] if answer.answered and answer.quotes else "")


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
            known = _is_verb(low[at]) or low[at].endswith("ed")
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
        known = (form and _is_verb(word)) or before in ("i", "you", "we")
        if known and (i or open_subject) and before not in (*ARTICLE, *PREPOSITION) and not before.endswith(("'s", "’s")):
            verbs.append(i)
    if verbs:
        noun = inner[0] in ARTICLE and len(verbs) > 1 and {*AUXILIARY}.isdisjoint(inner[verbs[0] : verbs[1]])
        at = verbs[noun]  # "the night train to Oslo leave": not the train
        return wh, aux, " ".join(body[:at]).removesuffix(" being"), inner[at], " ".join(body[at + 1 :])
    return (wh, "", "", aux, " ".join(body)) if aux in ("has", "have") and wh else (wh, aux, "", "", " ".join(body))


def _is_verb(word: str) -> bool:
    return _base(word) in VERB or word == "be"


def _base(verb: str) -> str:
    """The infinitive of a verb's form, the form itself when the verb is not known."""
    if verb in VERB or verb in BASE:
        return BASE.get(verb, verb)
    for ending, added in (("ies", "y"), ("es", ""), ("s", ""), ("ied", "y"), ("ed", ""), ("d", ""), ("ing", ""), ("ing", "e")):
        stem = verb.removesuffix(ending) + added
        if verb.endswith(ending) and (known := [form for form in (stem, stem[:-1]) if form in VERB]):
            return known[0]
    return verb


def _inflected(verb: str, ending: str) -> str:
    """A verb's form with "s", "ed" or "ing"."""
    if ending == "ing":
        double = verb[-1] if re.fullmatch(r"(?:re|com|sub|for|be)?[^aeiou]*[aeiou][^aeiouwxy]", verb) else ""
        return verb.removesuffix("e") + double + ending
    irregular = {base: form for form, base in reversed(BASE.items()) if form.endswith("s") == (ending == "s")}
    stem = re.sub(r"(?<=[^aeiou])y$", "ie", verb)
    return irregular.get(verb) or (stem.removesuffix("e") if ending == "ed" else stem) + ending


# --- names ------------------------------------------------------------------------------------------------------------


def _names(text: str, *, opening: bool = False) -> list[str]:
    """Runs of words that name somebody or something; `opening`: also a first word with a capital, though a sentence has one."""
    first = re.match(r"[A-Z][a-z'’]*(?!\S)", text)
    start = first.end() if first and not opening and first.group().lower() not in WRITTEN else 0
    found = [name.group() for name in re.compile(NAME).finditer(text, start)]
    return [name for name in found if not re.fullmatch(TIME, name) and not GENERIC.issuperset(name.lower().split())]


def _is_name(phrase: str) -> bool:
    """Whether a phrase, but for an article and a possessive, is a name."""
    bare = re.sub(r"^(?:the|an?) |['’]s?$", "", phrase)
    return _names(bare, opening=True) == [bare]


def _kind(phrase: str) -> str:
    """What a phrase names: "time", "place", "company" or, when that cannot be told, "name"; "" for no name at all."""
    words = re.sub(r"^(?:the|an?) |['’]s?$", "", phrase.strip().lower()).split()
    if re.fullmatch(TIME, " ".join(words)):
        return "time"
    if words and PLACES.issuperset(words):
        return "place"
    if words and {*map(str.lower, COMPANY)}.issuperset(words):
        return "company"
    return "name" if _names(phrase, opening=True) else ""


def _cased(phrase: str, turns: Sequence[_Turn]) -> str:
    """Names typed in small letters as they are written, here or in the conversation."""
    said = " ".join(f"{turn.quoted} {turn.text}" for turn in turns)
    for word in {*re.findall(r"[\w-]+", phrase)} - {*FUNCTION}:
        seen = re.search(rf"(?<=\w )(?=\w*[A-Z])(?i:{re.escape(word)})\b", said)
        written = WRITTEN.get(word) or (word.capitalize() if re.fullmatch(MONTH, word) else seen.group() if seen else word)
        phrase = re.sub(rf"(?<![\w-]){re.escape(word)}(?![\w-])", written, phrase) if word.islower() else phrase
    return phrase


def _is(noun: str) -> str:
    head = re.split(rf" {PREP} ", noun)[0]
    return "are" if re.search(r"\b[a-z]+[^\Wsui]s$", head) and not noun.startswith("what ") else "is"


def _find(kind: str, turns: Sequence[_Turn]) -> str:
    """The person, company or place that was named last: in a question, its answer or, but for a place, its quote; or ""."""
    for turn in turns:
        if _kind(turn.named) in ("name", "place") and (turn.wh.lower(), kind) in (("who", "person"), ("where", "place")):
            return turn.named
        for name in [*_names(turn.text), turn.named, *_names("" if kind == "place" else turn.quoted)]:
            if name and (_is_person(name, turn) if kind == "person" else _kind(name) == kind):
                return name
    return ""


def _is_person(name: str, turn: _Turn) -> bool:
    """Whether a name is somebody's: the question or the quote has its bearer speaking, or in an office."""
    last = re.escape(name.split()[-1])
    office = r"(?:CEO|CTO|CFO|President|Chairman|Mr\.?|Mrs\.?|Ms\.?|Dr\.?|Prof(?:essor|\.)?)"
    speaks = r"(?:say|said|says|think|emphasi[sz]ed|noted|expressed|reveal|revealed|argued|explained|wrote|told|added)"
    shown = rf"{office} (?:\w+ )?{last}\b|\b{speaks} (?:\w+ )?{last}\b|\b{last},? {speaks}\b|According to {last}\b"
    asked = turn.rest == name and turn.wh.lower() == "who"  # "Who is Ada Lovelace?"
    return _kind(name) == "name" and (asked or re.search(shown, f"{turn.quoted}\n{turn.text}") is not None)


# --- a question word: "why?", "since when?", "who said that?" ---------------------------------------------------------


def _from_question_word(asked: str, turns: Sequence[_Turn]) -> str | None:
    """A question word and what little it brings, asked of the question before; None when it brings more."""
    last = turns[0]
    if WHY.fullmatch(asked):
        made = _ask("Why", last)
        return made.replace(f"{last.subject} ", f"{last.subject} not ", 1) if last.subject and asked.lower() == "why not" else made
    if MORE.fullmatch(asked):
        return f"Tell me more about {_thing(last) or last.text}"
    if reporter := REPORTER.fullmatch(asked):
        return f"{reporter['asks'] or 'Who says'} {_embedded(last)}"
    if event := EVENT.fullmatch(asked):
        verb = _base(event["verb"].lower())
        if verb in ("happen", "do", _base(last.verb)):
            return _ask(event["wh"], last)
        if verb in ("start", "begin", "end", "stop") and last.subject and last.adjunct:
            return f"{event['wh']} {event['aux']} {last.subject} {verb} to {_base(last.verb)} {last.rest}"
    if comparison := COMPARISON.fullmatch(asked):
        figure = next((turn for turn in turns if re.match("how (?:much|many)", turn.wh, re.I)), last)
        return f"{figure.text} compared with {comparison['other']}"
    if counted := re.fullmatch(rf"how many(?: (?P<rest>{AUX}\b.*))?", asked, re.I):
        plurals = [last.asked, last.subject, *re.findall(r"\b[a-z]{3,}[^\Wsui]s$", last.text)]
        noun = next((noun for noun in plurals if noun.endswith("s")), "")
        before = last.text[len(last.wh) :] if last.asked else f"{last.verb} {last.rest}"
        more = counted["rest"] if counted["rest"] and " " in counted["rest"] else before
        made = f"how many {noun} {more}"
        return (_from_pronouns(made, turns) or made) if noun else None
    plain = len(asked.split()) <= 6 and not PRONOUN.search(asked) and not ABOUT.match(asked)
    return _from_bare_question(bare, last) if plain and (bare := BARE.fullmatch(asked)) else None


def _from_bare_question(bare: re.Match[str], last: _Turn) -> str | None:
    """ "How much?", "since when?", "which ones?", "how much in 2024?"."""
    asked, wh = bare.group().lower(), bare["wh"].lower().removesuffix(" exactly")
    if bare["tail"] and len(wh.split()) > 1 + wh.startswith("how "):
        return None  # "how many mailboxes on the ship"
    brought = re.sub(r"^.*?\b(?:which|what|how|who)(?: (?:report|study|cost))?", "", asked).split()
    if any(word in AUXILIARY or _is_verb(word) for word in brought):
        return None
    if wh in ("which", "which one", "which ones", "who", "what"):
        noun = last.asked or ("" if last.wh or not last.object else last.object.split()[-1])
        rest = last.rest if last.wh else last.rest.replace(last.object, "", 1)
        made = f"Which {noun} {last.aux} {last.subject} {last.verb} {rest}" if noun else ""
    elif wh.endswith(" else"):
        made = f"which other {last.asked or 'ones'} {last.text[len(last.wh) :]}"
    else:
        made = _ask(f"in {wh}" if re.fullmatch(r"(?:which|what) (?:year|month|country|city|place)", wh) else wh, last)
    return _placed(made, bare["tail"].strip()) if made and bare["tail"] else made or None


def _embedded(turn: _Turn) -> str:
    """The question before inside another one: "how much AWS spent in 2022"."""
    wh = f"{turn.wh[:1].lower()}{turn.wh[1:]}" or "whether"
    if turn.subject and turn.aux in ("do", "does", "did"):
        ending = {"do": "", "does": "s", "did": "ed"}[turn.aux]
        return f"{wh} {turn.subject} {_inflected(turn.verb, ending) if ending else turn.verb} {turn.rest}"
    if turn.verb:
        return f"{wh} {turn.subject} {turn.aux} {turn.verb} {turn.rest}"
    subject = turn.rest if turn.wh else _thing(turn)
    return f"{wh} {subject} {turn.aux} {turn.rest.removeprefix(subject)}" if turn.aux else f"“{turn.text}”"


def _ask(wh: str, turn: _Turn) -> str:
    """The question before with another question word."""
    if turn.verb == "happen" and (to := re.match(r"(?:to|with) (.+?)( (?:in|by|after|before) .+)?$", turn.rest)):
        return f"{wh} {turn.aux} {to[1]} change{to[2] or ''}"
    if turn.verb and not turn.subject and (who := turn.named or turn.asked):
        return f"{wh} {_asked_of(who if turn.named or who.endswith('s') else f'the {who}', turn)}"
    if turn.subject and turn.rest in PREPOSITION:  # "Who did Microsoft invest in?"
        missing = turn.named or turn.asked
        return f"{wh} {turn.aux} {turn.subject} {turn.verb} {f'{turn.rest} {missing}' if missing else ''}"
    if turn.subject:
        return f"{wh} {turn.aux} {turn.subject} {turn.verb} {'' if turn.adjunct else turn.asked or 'that'} {turn.rest}"
    if turn.aux and turn.wh.lower() == "who" and turn.named:
        return f"{wh} {turn.aux} {turn.named} {turn.rest}"
    if turn.aux and turn.adjunct:
        degree = re.fullmatch(r"how (\w+)", turn.wh, re.I)
        return f"{wh} {turn.aux} {turn.rest} {f'so {degree[1]}' if degree else ''}"
    return f"{wh}? ({turn.text if turn.wh else _thing(turn)})"


def _asked_of(who: str, turn: _Turn) -> str:
    """A question that asks for its subject, asked of one: "Which planets have rings?" of Mars is "does Mars have rings"."""
    base = _base(turn.verb)
    does = "do" if base == turn.verb and who == turn.asked else "does" if turn.verb in (base, _inflected(base, "s")) else "did"
    return f"{turn.aux or does} {who} {turn.verb if turn.aux else base} {turn.rest}"


# --- a fragment: "And Microsoft?", "what about 2023?", "in Europe?" -----------------------------------------------------


def _from_fragment(asked: str, typed: str, turns: Sequence[_Turn]) -> str | None:
    """Words without a clause of their own, put into the question before; None for a whole question and words to search for."""
    last, about = turns[0], ABOUT.match(asked)
    fragment = _cased(asked[about.end() :] if about else asked, turns)
    fragment = re.sub(rf"(?i)^(?:the|that|those) ones? (?={PREP} )|^(?:the|that) (?=.+ ones?$)| ones?$", "", fragment)
    words = fragment.lower().split()
    if len(words) > 6 or words[0] in ("if", "because", "i", "you", "we", "he", "she", "it", "they", "please"):
        return None
    if (too := TOO.fullmatch(fragment)) and _is_name(too["who"]) and last.aux and not about:
        aux = too["aux"] if last.aux in ("do", "does") else last.aux
        yes_or_no = last.subject and last.wh.lower() in ("", "why", "how")
        return f"{aux} {too['who']} {last.verb} {last.rest}" if yes_or_no else _exchanged(last.text, too["who"], last)
    kind = _kind(fragment)
    alike = kind in ("time", "place", "company") or words[0] in PREPOSITION or (typed.endswith("?") and _is_name(fragment))
    own_verb = {*AUXILIARY, *QUESTION, "compare", "list", "name", "describe"} & {*words} or (
        len(words) > 1 and _is_verb(words[0]) and not words[0].endswith("ing")
    )
    if own_verb or "," in fragment or not (about or LEAD.match(typed) or alike):
        return None
    starts = [match.start() for match in re.finditer(rf"(?<!\S){PREP} (?=\S)", fragment, re.I)]
    if starts and starts[0] and not _kind(fragment[: starts[0]]):
        starts = []  # "the cost of training" is one thing, "Amazon | in Anthropic" are two
    made: str | None = last.text
    for start, end in pairwise(sorted({0, *starts, len(fragment)})):
        part = fragment[start:end].strip()
        if made:
            made = _placed(made, part[0].lower() + part[1:]) if start in starts else _exchanged(made, part, last)
    return made if made != last.text else None


def _placed(text: str, phrase: str) -> str:
    """A question with "in Europe" put where it has another "in …" of the same kind, else at its end."""
    preposition, _, what = phrase.partition(" ")
    kind, time = _kind(what), re.search(TIME, text)
    if kind == "time" and time:
        year = re.search(r" \d{4}$", time.group()) if re.fullmatch(MONTH, what, re.I) else None
        return text[: time.start()] + what + (year.group() if year else "") + text[time.end() :]
    name = f"{NAME}|" if preposition not in ("about", "for") else ""  # "about AWS margins", but "to Oslo" leave
    for place in re.finditer(rf"(?<= ){re.escape(preposition)} (?P<what>{name}.+?(?= (?:{PREP}|and|or|than) |$))", text):
        old = _kind(place["what"])
        if kind == old or {kind, old} == {"name", "place"} or (preposition in ("about", "for", "on") and old != "time"):
            return text[: place.start()] + phrase + text[place.end() :]
    return f"{text} {phrase}"


def _exchanged(text: str, what: str, last: _Turn) -> str | None:
    """A question asked of something else: the part of it that is of the same kind is exchanged."""
    kind, names, thing = _kind(what), _names(text), _thing(last)
    if own := re.match(r"(?:its|their|his|her) (?=\w)", what, re.I):
        return f"What {_is(what)} {thing}'s {what[own.end() :]}" if thing else None
    if what.lower() == "elsewhere":
        return re.sub(r"(?<= in )[A-Z]\S*(?: [A-Z]\S*)*", "other places", text)
    if kind == "time":
        return _placed(text, f"in {what}")
    if _is_name(what) and names:
        old = next((name for name in names if _kind(name) == kind), names[0])
        its_article = rf"(?:\bthe (?={re.escape(old)}(?:$| {_any(FUNCTION)}\b)))?"
        return re.sub(rf"{its_article}(?<![\w-]){re.escape(old)}(?![\w-])", lambda _: re.sub(r"['’]s$", "", what), text, count=1)
    if kind == "place":
        return _placed(text, f"in {what}")
    if not last.aux and not last.verb:
        return text.replace(thing, what) if thing and thing != text else None  # "Explain photosynthesis." "And respiration?"
    if _is_name(what) and last.asked and last.verb and not last.subject:
        return _asked_of(what, last)
    if what.lower() in VERB and last.subject:  # "How many jobs will AI displace?" "And create?"
        return text.replace(f" {last.verb}", f" {what.lower()}", 1)
    if re.search(r"['’]s | of ", what):
        return f"What {_is(what.split(' of ')[0])} {what}"  # "Google's pricing" brings its owner
    if about := re.search(r"\babout (.+?)(?= (?:in|at|on|by) |$)", text):
        topic = f"{about[1]}'s {what}" if _is_name(about[1]) else what
        return text[: about.start(1)] + topic + text[about.end(1) :]
    article, part = what.startswith(("the ", "a ", "an ")), what.removeprefix("the ")
    if (of := re.search(r" (?:of|for) ([a-z][^A-Z]*)$", text)) and last.aux and not last.verb and not article:
        return text[: of.start(1)] + what  # "What are the symptoms of flu?" "And covid?"
    old = last.object if last.object and (not article or last.subject.lower() in SPEAKER) else last.subject
    if last.verb and old and old[0].islower() and not _names(old):
        return text.replace(old, what, 1)
    if kind and thing and thing in text:
        return text.replace(thing, what, 1)
    owner = thing.split(" of ")[-1]
    return f"What {_is(part)} the {part} of {owner}" if owner else None


# --- a pronoun, "the company", a comparison with one side ---------------------------------------------------------------


def _from_pronouns(asked: str, turns: Sequence[_Turn]) -> str | None:
    """A question with what it leaves to the conversation put in; None when that is nothing, or cannot be told."""
    made, end, last = "", 0, turns[0]
    typed = asked
    if last.asked and (one := re.match(r"(?i)which one(s?) ", asked)):
        asked = f"which {'of the ' if last.asked.endswith('s') and not one[1] else ''}{last.asked} {asked[one.end() :]}"
    for match in PRONOUN.finditer(asked):
        title = match.group()[0].isupper() and match.start() > 0  # the department IT, "Let Them Eat Cake"
        if title or not _refers_back(asked, match):
            continue
        found, before = _referent(asked, match, turns), asked[end : match.start()]
        if found and found in made and last.subject and match["word"]:  # "What did it get out of that?": of investing
            found = f"{_inflected(_base(last.verb), 'ing')} {last.rest}"
        if found and (found in made or re.search(rf"\b{re.escape(found)}\b", asked[: match.start()])):
            return None  # "does Amazon sell it?" about Amazon: not Amazon
        if found:
            before = _agreeing(before, found) if match.group().lower() in ("it", "they", "that", "those") else before
            is_ = " is" if match["is"] and match["word"] else match["is"] or ""  # "it's", but "the company's"
            made, end = f"{made}{before}{found}{is_}", match.end()
    if made:
        made = re.sub(r" (?:too|also|as well)$", "", made + asked[end:])
        past, year = re.match(r"(?i)(?:how|what|which)\b.*? (?:did|was|were) ", made), re.search(r" in \d{4}\b", last.text)
        return made + year.group() if past and year and last.asked and not re.search(TIME, made) else made
    if asked != typed:
        return asked  # "which one is the oldest?"
    if owned := re.fullmatch(rf"(?:what|who) (?:is|was|are) the ({_any(OWNED)})", asked, re.I):
        owner = _find("company", turns) if owned[1].lower() in ("ceo", "cto", "cfo", "founder") else _thing(turns[0])
        return f"{asked} of {owner}" if owner else None
    if (graded := re.fullmatch(rf"(?:is|are|was) (.+?) {GRADED}", asked, re.I)) and _is_name(graded[1]):
        others = [name for name in _names(turns[0].text) if _kind(name) == _kind(graded[1]) and name != graded[1]]
        return f"{asked} than {others[0]}" if others else None
    return None


def _agreeing(before: str, subject: str) -> str:
    """The words before a subject, their auxiliary in its number: "how much do " they, "how much does " AWS."""
    for plural, singular in SINGULAR.items():
        other, own = (singular, plural) if _is(subject) == "are" else (plural, singular)
        before = re.sub(rf"(?i)\b{other} $", f"{own} ", before)
    return before


def _refers_back(asked: str, match: re.Match[str]) -> bool:
    """Whether a pronoun means something that only the conversation names."""
    word, before, after = (match["word"] or "").lower(), asked[: match.start()], asked[match.end() :].lower()
    if any(empty.start() <= match.start() < empty.end() for empty in EMPTY.finditer(asked)) or re.search(":| or ", after):
        return False  # "which of these is a fruit: …" goes on to name them
    clauses = [end.start() for end in CLAUSE_END.finditer(before) if end.start()]
    if clauses and _brings(before[: clauses[-1]]):
        return False  # "if AWS grows, will it …"
    if not word:
        return match["that"].lower() != "the" or (len(asked.split()) <= 7 and not _names(asked))
    following = (re.findall(r"^ ([\w-]+)", after) or [""])[0]
    last = (before.lower().split() or [""])[-1]
    if word in ("that", "this", "these", "those"):
        if last in BE and re.match(rf" (?:the|an?|[\w-]+(?: {PREP}|$))\b", after):
            return True  # "is that bad for the climate", "is that a lot"
        return following in ("", *PREPOSITION) or (last in ("", *AUXILIARY) and (_is_verb(following) or following in AUXILIARY))
    if word == "it" and re.match(r"(?: enough)? (?:to|if)\b" if last in BE else r" (?:cost|take) .*\bto\b", after):
        return False  # "whose idea was it to …", "how long did it take to …"
    of_it = word in ("its", "their", "his", "theirs") or (word == "her" and following)
    claimed = _is_verb(last) and (following in AUXILIARY or _is_verb(following))  # "what does AWS claim it will do"
    aux = re.search(rf"\b{AUX}\b", before, re.I)
    brought = _brings(before[aux.end() :] if aux else before)
    if aux and of_it and not brought and re.match("ha[ds]|have", aux.group(), re.I):
        return not _brings(before)  # "which place had its wettest day"
    if word in ("it", "they", "them") and not claimed:
        return brought < (2 if aux else 3)  # "why burn the hole in the tape instead of slicing it"
    return not (of_it or claimed) or not brought


def _brings(text: str) -> int:
    """How many words of a question name something."""
    return sum(word not in FUNCTION and not _is_verb(word) for word in re.findall(r"[\w'’-]+", text.lower()))


def _referent(asked: str, match: re.Match[str], turns: Sequence[_Turn]) -> str:
    """What a pronoun or "the company" stands for, "" if that cannot be told."""
    word, noun, before = (match["word"] or "").lower(), (match["noun"] or "").lower(), asked[: match.start()]
    thing = next((found for turn in turns if (found := _thing(turn))), "")
    if re.search(r"\b(?:say|said) $", before):
        return f"that about {thing}" if thing else ""
    if noun in COMPANY_NOUN:
        return _find("company", turns)
    if noun:
        said = rf"(?:\b(?:the|an?) |\S+['’]s )(?:[\w$€£.-]+ ){{1,3}}?{noun}\b|\b{noun.title()} [A-Z]\w+"
        context = [turn.text for turn in turns] + [turn.quoted for turn in turns]
        named = next((there.group() for text in context if (there := re.search(said, text))), "")
        spoken_of = match["that"].lower() != "the" or any(noun in text.lower() for text in context)
        return named or (f"the {noun} of {thing}" if spoken_of and _kind(thing) else thing if spoken_of else "")
    if word in ("he", "him", "she", "his", "her", "hers"):
        called = (name for turn in turns for name in _names(turn.text) if _kind(name) == "name" and name.replace(" ", "").isalpha())
        found = _find("person", turns) or next(called, "")
    elif word == "there":
        found = _find("place", turns)
        return found if not found or re.search(r"\b(?:in|from|at|to) $", before, re.I) else f"in {found}"
    elif word in ("they", "them", "their", "theirs"):
        found = _several(turns[0]) or thing
        found = f"the {turns[0].asked}" if turns[0].asked.endswith("s") and before.endswith("of ") else found
    else:
        found = thing
    last = turns[0]
    if last.subject.lower() in SPEAKER and last.object and asked[match.end() :].startswith(" take"):
        return f"{_inflected(last.verb, 'ing')} {last.object}"  # "How do I reset my password?" "How long does it take?"
    if word in ("that", "this") and last.aux and not last.wh and not last.verb and not asked[match.end() :]:
        return f"{found} being{last.rest.removeprefix(found)}"  # "Is Claude on Azure?" "What does he think about that?"
    of_it = word in ("its", "their", "his", "hers", "theirs") or (word == "her" and asked[match.end() :])
    return f"{found}'s" if found and of_it else found


def _thing(turn: _Turn) -> str:
    """What "it" is after this question, "" if that cannot be told."""
    wh, names, person = turn.wh.lower(), _names(turn.text), bool(turn.subject) and _is_person(turn.subject, turn)
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
        name = next((name for name in _names(turn.rest, opening=True) if turn.rest.find(name) <= 4), "")
        phrase = re.split(rf" {PREP} ", turn.rest)[0].split()
        article = phrase[:1] and phrase[0] in ("the", "a", "an", "this", "my", "our", "its", "their")
        return name or " ".join(phrase[: max(2, len(phrase) - 1)] if article else phrase[:1])
    if turn.asked and not turn.asked.endswith("s") and re.match(r"(?:which|what) (?!share|percent|part|number)", wh):
        does = _inflected(turn.verb, "s") if turn.aux == "does" else _inflected(turn.verb, "ed") if turn.aux == "did" else ""
        return turn.named or (
            f"the {turn.asked} that {turn.subject} {does} {turn.rest}" if turn.subject and does else f"the {turn.asked}"
        )
    if wh == "what" and turn.subject and turn.aux in BE and turn.verb.endswith("ing"):
        return f"what {turn.subject} {turn.aux} {turn.verb} {turn.rest}"
    if not turn.subject or turn.subject.lower() in SPEAKER:
        return turn.object or (names or [""])[0]
    if person and not turn.adjunct:
        return turn.rest.removeprefix("about ") if turn.rest.startswith("about ") else turn.named
    acted_on = turn.object if turn.adjunct and (person or _kind(turn.subject) == "company") else ""
    if acted_on.startswith(("the ", "its ")) or _kind(acted_on):  # "When did Amazon confirm the plan?": the plan
        return f"{turn.subject}'s {whole[4:]}" if whole.startswith("its ") else whole
    return turn.subject


def _several(turn: _Turn) -> str:
    """Who or what "they" are after this question, "" if that cannot be told."""
    if turn.asked and not turn.subject and (turn.asked.endswith("s") or turn.wh.lower().startswith("how many")):
        return turn.named or turn.asked
    if turn.asked.endswith("s") and _kind(turn.subject) == "name":
        return f"the {turn.asked} of {turn.subject}"
    thing = _thing(turn)
    return thing if _kind(thing) in ("company", "name") or _is(thing) == "are" else _find("company", [turn])
