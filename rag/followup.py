"""A question of a conversation → one that stands alone.

No language model: a shallow parse of the question before, closed word lists and three moves. A fragment ("And Microsoft?", "in
2023?") takes the place of its like in the question before; a bare question word ("why?", "since when?") takes the place of its
question word; a pronoun or "the company" becomes what the question before was about, or what its answer named. Whatever names
its own subject is left as it was typed: a follow-up missed is asked again, a good question bent is answered wrongly.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from rag.types import Answer

LONGEST = 2000  # characters of a completed question, as many as a question may have
LONGEST_FOLLOWUP = 200  # characters; a longer text brings its own subject
LOOK_BACK = 6  # turns that a follow-up may refer to
LONGEST_NAME = 60  # characters of an answer that may stand for a pronoun


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


AUXILIARY = "is are was were do does did has have had can could will would shall should may might must".split()
QUESTION_WORD = "what which who whom whose when where why how".split()
PREPOSITION = (
    "in on at by for from to of with about since until till before after during under over per via between among through into "
    "against within without than like besides".split()
)
FUNCTION = _words(
    "a an the this that these those and or but so if because while although then there here it its he she they them his her "
    "him their i you we me us my your our not no yes also too else even ever just only very much many more most less least "
    "few some any all both each every other another same such be been being am as well please ok okay hi hello thanks tell "
    "give show explain describe compare list name find summarize summarise define let say what's who's where's when's how's"
) | {*AUXILIARY, *QUESTION_WORD, *PREPOSITION}
# Words written in capitals that name nothing by themselves.
GENERIC = _words("ai ceo cto cfo coo it llm llms gpu gpus cpu cpus api apis co2 ml pdf q1 q2 q3 q4 rag hr r&d i")
COMPANIES = _words(
    "amazon aws google alphabet gcp microsoft azure openai anthropic nvidia amd intel meta facebook apple ibm oracle tesla "
    "samsung alibaba baidu tencent huawei deepmind mistral cohere gartner mckinsey deloitte netflix spotify uber sap salesforce "
    "siemens sony toyota volkswagen bmw walmart ikea nestle boeing airbus tsmc arm qualcomm cisco dell hp adobe twitter linkedin"
)
COMPANY_WORDS = _words(
    "inc corp corporation company ltd gmbh ag plc llc bank group university institute research labs web services"
)
PLACES = _words(
    "africa america asia europe australia antarctica asia-pacific oceania usa us u.s uk eu england scotland ireland france germany "
    "spain portugal italy austria switzerland belgium netherlands denmark norway sweden finland poland ukraine russia turkey "
    "greece india china japan korea taiwan singapore indonesia vietnam thailand pakistan israel egypt nigeria kenya canada mexico "
    "brazil argentina chile colombia california texas indiana ohio virginia london paris berlin madrid rome tokyo beijing delhi"
)
COMPASS = _words("north south east west latin central middle eastern western northern southern united states kingdom")
CASED = {"aws": "AWS", "gcp": "GCP", "openai": "OpenAI", "nvidia": "NVIDIA", "amd": "AMD", "ibm": "IBM", "sap": "SAP", "bmw": "BMW"}
CASED |= {"tsmc": "TSMC", "hp": "HP", "usa": "USA", "uk": "UK", "eu": "EU", "mckinsey": "McKinsey", "deepmind": "DeepMind"}
CASED |= {"linkedin": "LinkedIn", "asia-pacific": "Asia-Pacific"}

MONTHS = "january february march april may june july august september october november december".split()
MONTH = rf"(?:{'|'.join(MONTHS)}|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)"
YEAR = r"(?:(?:18|19|20|21)\d\d)"
TIME = re.compile(
    rf"(?:{MONTH}(?: {YEAR})?|{YEAR}(?:-\d\d)?|q[1-4](?: {YEAR})?|(?:last|next|this) (?:year|month|week|quarter))", re.I
)

VERBS = _words(
    "accelerate account achieve acquire add affect allow announce apply approve arrive ask become begin believe belong "
    "benefit bring build buy call cancel carry cause change charge claim close collaborate come commit compare compete "
    "complete confirm connect consume contain contribute control cost cover create cut deal decide define deliver depend "
    "deploy describe design develop differ disclose discover displace do dominate drive drop earn emit emphasize employ "
    "enable end estimate exceed exist expand expect explain face fail fall fear find finish fit follow forecast form found "
    "fund gain generate get give go grow handle happen have help hire hold host improve include increase integrate introduce "
    "invent invest join keep know lack lag launch lead learn leave let limit live look lose lower make manage matter mean "
    "measure merge move name need note offer open operate outsource own partner pay perform plan power prefer produce promise "
    "promote propose provide publish put raise reach read receive recommend reduce refer release rely remain replace report "
    "require reset reveal rise run save say scale see sell send serve ship show sign solve spend stand start stay stop store "
    "struggle succeed suggest supply support switch take target tell think threaten train travel try turn unveil use visit "
    "want warn weigh win work write"
)
PAST = dict(
    pair.split(":")
    for pair in (
        "become:became begin:began bring:brought build:built buy:bought come:came cost:cost cut:cut do:did drive:drove "
        "fall:fell find:found found:founded get:got give:gave go:went grow:grew have:had hold:held keep:kept know:knew lead:led "
        "leave:left let:let lose:lost make:made mean:meant pay:paid put:put read:read rise:rose run:ran say:said see:saw "
        "sell:sold send:sent show:showed spend:spent stand:stood take:took tell:told think:thought win:won write:wrote"
    ).split()
)
PARTICIPLE = _words(
    "built bought made found led paid sold sent spent won written taken given known held kept lost run seen shown said told "
    "driven grown been begun become cut"
)
BASE = {past: base for base, past in PAST.items() if past not in VERBS}
SPEAKING = _words("say tell think reveal state note claim emphasize explain announce mention")

LEAD = re.compile(
    r"(?:(?:and|but|or|so|also|ok|okay|oh|hm+|well|then|right|yes|no|sure|thanks|thank you|great|cool|interesting|now)\b"
    r"[\s,.:!–-]*)+(?=\S)",
    re.I,
)
ABOUT = re.compile(r"(?:w(?:ha|ah)t|hwat|wat|how)(?:['’]?s)?\s+(?:about|abt|abuot|aboout|bout|of)\s+(?=\S)", re.I)
WHY = re.compile(
    r"(?:why|how come|how so|what for|for what reason|(?:and )?(?:what(?:['’]s| is| was) )?the reason"
    r"(?: (?:for|behind) (?:that|this|it))?|reasons?|why (?:not|exactly)|"
    r"(?:but )?why(?:['’]s| is| was| did| does)? (?:that|this|it|so)(?: so| the case| happen(?:ed)?)?)",
    re.I,
)
REPORTER = re.compile(
    r"(?:who|which \w+|where|when)\s+(?:was it (?:who|that)\s+)?(?:has\s+|did\s+|is\s+)?(?:they\s+)?"
    r"(?P<verb>say|said|says|claim\w*|estimat\w+|report\w*|predict\w*|warn\w*|wrote|forecast\w*|found|calculat\w+|think\w*|thought)"
    r"(?:\s+(?:that|this|it|so))?(?:\s+(?:to|in|at)\s.*)?",
    re.I,
)
SOURCE = re.compile(
    r"sources?|where (?:does it say|did you (?:get|find|read)|do you (?:get|have|know)) (?:that|this|so|it)(?: from)?|"
    r"where (?:is|was|does|comes?) (?:that|this|it) (?:come |taken )?(?:from|written|stated)|"
    r"(?:which|what) (?:file|document|source|page)(?: says (?:that|this|so|it)| is (?:that|this|it) (?:from|in))?",
    re.I,
)
BARE_QUESTION = re.compile(
    rf"(?:(?:according|compared|relative|thanks) (?:to|with) |because of |instead of |(?:{'|'.join(PREPOSITION)}) )?"
    rf"(?:{'|'.join(QUESTION_WORD)})\b",
    re.I,
)
EVENT = re.compile(
    rf"(?P<wh>(?:{'|'.join(PREPOSITION)})?\s*(?:when|where|why|how|what year|which year|what month|which month|what date))\s+"
    r"(?P<aux>did|does|do|will|has|is|was|would)\s+(?:it|this|that|they|all this|all that)\s+(?:all\s+)?"
    r"(?P<verb>start|begin|begun|started|end|stop|finish|happen|happened|occur|take place|come about)(?:ed)?",
    re.I,
)
COMPARISON = re.compile(
    r"(?:is|was|are|were)\s+(?:that|this|it|they)\s+(?:much\s+|any\s+|even\s+|still\s+)?(?P<more>more|less|higher|lower|larger|bigger|"
    r"greater|smaller|fewer)\s+than\s+(?P<other>.+)",
    re.I,
)
TOO = re.compile(
    rf"(?P<aux>{'|'.join(AUXILIARY)})\s+(?P<who>.+?)(?:\s+(?:do|done|doing)\s+(?:that|so|it|this|the same))?"
    r"(?P<too>\s+(?:too|also|as well|either))?",
    re.I,
)
CONFIRM = re.compile(
    r"(?:is|was)(?:n['’]t)?\s+(?:that|this|it)\s+(?:really\s+)?(?:true|right|correct|so|certain|sure|the case)", re.I
)
MORE = re.compile(
    r"(?:(?:please\s+)?(?:tell|give|show)\s+me\s+|can you (?:tell|give) me\s+)?(?:some\s+)?more"
    r"(?:\s+(?:details?|information|info))?(?:\s+please)?|"
    r"(?:please\s+)?(?:explain|elaborate|go on|continue)(?:\s+please)?|details?",
    re.I,
)
ADVERBS = _words("early late often long fast slow slowly quickly far much little soon rarely well badly")
NO_FRAGMENT = _words("if because unless i you we he she they it please no yes")
GRADES = _words("more less higher lower larger bigger greater smaller better worse true still really the a")
SPEAKERS = _words("i you we one people they he she")  # subjects of a question that are not what it is about
# What a company or a person does: "it" before such a verb is whoever acted, before another what was acted upon.
AGENT = _words(
    "acquire announce buy charge claim commit compete earn employ expect find fund get hire hold invest launch lose make need "
    "offer own partner pay plan prefer produce promise raise receive save say sell sign spend think unveil use want win"
)
# "It" and "that" that refer to nothing said before.
EMPTY_IT = re.compile(
    r"\b(?:(?:is|was|would|will|does|did|has|how long|how much) (?:be )?it (?:be |really |even |still |ever )?"
    r"(?:(?:true|possible|legal|safe|worth|ok|okay|necessary|important|better|easy|hard|likely|known|take|cost|make sense)\s+"
    r"(?:to|that|for|if|when)\b|that\b)"
    r"|what time is it|what is it about|it (?:is|was|seems|appears|takes|took) (?:\w+ ){0,2}(?:that|to|like)|it (?:rains?|snows?)\b"
    r"|this (?:year|month|week|morning|quarter|article|document|file|paper|report|page|text|folder)|these (?:days|files|documents)"
    r"|(?:do|did) they call\b|(?:those|that) (?:who|which)\b|those of\b)",
    re.I,
)
PRONOUN = re.compile(
    r"\b(?P<word>itself|it's|it|its|he|him|his|she|her|hers|they|them|theirs|their|there|that|this|these|those)\b(?P<is>['’]s\b)?",
    re.I,
)
BOUNDARY = re.compile(
    r"[,;:]|[.?!] |\b(?:and|or|but|because|if|when|while|where|whose|who|which|that|since|after|before|so|how|why|what)\b", re.I
)
KIND_OF_COMPANY = _words(
    "company companies firm startup start-up provider vendor corporation business organization organisation firms"
)
KIND_OF_PERSON = _words("man woman person author founder speaker")
KIND_OF_THING = _words(
    "project plan chip chips processor processors system service product model models platform tool tools deal partnership "
    "agreement investment programme program device network cluster law region country place backlog study report building museum"
)
OWNED = _words(
    "price cost ceo cto cfo founder budget revenue size age name headquarters purpose goal deadline owner author capacity"
)
ARTICLE = r"(?:the|a|an)\b"
WORD = re.compile(r"[^\s,;:!?()\"“”]+")


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
    turns = [turn for turn in map(_Turn.of, reversed(history[-LOOK_BACK:])) if turn is not None] if typed else []
    if not turns:
        return question
    bare = re.sub(r"[\s?.!…]+$", "", typed)
    if LEAD.sub("", f"{bare} x") == "x":
        return question  # "ok, thanks"
    lead = LEAD.match(bare)
    asked = re.sub(
        r"^(what|who|where|when|how|why)['’]s\b(?! (?:up|about|abt)\b)", r"\1 is", bare[lead.end() :] if lead else bare, flags=re.I
    )
    made = _from_fragment(asked, typed, turns, led=lead is not None) or _from_pronouns(asked, turns)
    if made is not None and made.lower().startswith("if "):
        made = f"what {made}"
    return question if made is None else _sentence(made, typed)


def _sentence(text: str, typed: str) -> str:
    """Spaces, capital and mark as a written question has them."""
    text = " ".join(text.split()).rstrip("?.! ")
    if text.endswith(")"):
        return f"{text[:1].upper()}{text[1:-1]}?)"
    command = re.match(r"(?:tell|give|show|explain|describe|list|compare|summari[sz]e|define)\b", text, re.I)
    return text[:1].upper() + text[1:] + ("." if command and not typed.endswith("?") else "?")


# --- the question before ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Clause:
    """A question taken apart: "How much" "did" "Amazon" "invest" "in Anthropic"."""

    wh: str  # "" for a yes-or-no question
    aux: str  # "" where the question word itself is the subject: "Who leads AWS?"
    subject: str  # "" likewise, and where no verb was recognised
    verb: str  # "" likewise: `rest` is then all that follows the auxiliary, as in "Who is the CEO of AWS?"
    rest: str

    @property
    def asks_for_subject(self) -> bool:
        return bool(self.wh and self.verb and not self.subject)

    @property
    def copula(self) -> bool:
        return not self.verb and self.aux in ("is", "are", "was", "were")

    @property
    def adjunct(self) -> bool:
        """Whether the question word could be exchanged for "why" and leave a whole sentence."""
        word = self.wh.lower().split()[:1]
        return not word or word[0] in ("when", "where", "why", *PREPOSITION) or (word[0] == "how" and not self.noun)

    @property
    def noun(self) -> str:
        """What is asked for by kind or count: "chips" of "which chips", "data centres" of "how many data centres"."""
        share = r"(?:of |(?:share|percentage|part|percent|fraction|proportion|number) (?:of )?)?(?:the )?"
        match = re.match(rf"(?:how (?:many|much)|which|what) {share}(.+)", self.wh, re.I)
        return match.group(1) if match else ""


@dataclass(frozen=True)
class _Turn:
    """An earlier question, as it was understood, and what answered it."""

    text: str  # without its question mark
    short: str  # "" for a refusal, a yes or no, and an answer that is no name or figure
    quoted: str  # the first quote, "" for a refusal

    @classmethod
    def of(cls, answer: Answer) -> "_Turn | None":
        """The turn to be referred to; None for one that asks nothing: thanks, or a pasted page."""
        text = re.sub(r"[\s?.!…]+$", "", " ".join((answer.understood or answer.question)[: LONGEST_FOLLOWUP + 1].split()))
        text = re.sub(r"^(what|who|where|when|how|why)['’]s\b", r"\1 is", text, flags=re.I)
        if lead := LEAD.match(text):
            text = text[lead.end() :]
        if not re.search(r"\w{3}", text) or len(text) > LONGEST_FOLLOWUP or LEAD.sub("", f"{text} x") == "x":
            return None
        short = (answer.short or "").strip(" \n\t\"'“”‘’.,;:()")
        short = short if len(short) <= LONGEST_NAME and "\n" not in short else ""
        return cls(text, short, answer.quotes[0].text[:600] if answer.answered and answer.quotes else "")

    @cached_property
    def clause(self) -> _Clause | None:
        return _parse(self.text)

    @cached_property
    def names(self) -> list[re.Match[str]]:
        return list(_names(self.text))

    @cached_property
    def name_answered(self) -> str:
        """The short answer when it is a name, not a figure or half a sentence."""
        found = [match.group() for match in _names(self.short, first=True)]
        return self.short if found and len(found[0]) >= 0.6 * len(self.short) and not TIME.fullmatch(self.short) else ""

    @cached_property
    def topic(self) -> str:
        """What the question is about, as a noun phrase."""
        about = re.match(
            r"(?:please )?(?:tell me|what|anything|explain|describe|define|summari[sz]e)(?: more)?(?: about)? (.+)", self.text, re.I
        )
        if self.clause is None:
            return about.group(1) if about else self.text
        return self.thing or self.text

    @cached_property
    def thing(self) -> str:
        """What "it" is after this question, "" if that cannot be told."""
        clause = self.clause
        if clause is None:
            return self.topic
        names = [match.group() for match in self.names]
        if clause.copula:
            if clause.wh.lower() in ("who", "whose"):
                return names[-1] if names else ""
            if re.match(r"the\b.*\b(?:of|for|behind)\b", clause.rest, re.I) and self.name_answered:
                return self.name_answered
            if not clause.wh or clause.wh.lower() == "why":
                return _head(clause.rest)
            return re.split(
                rf"\s+(?:in|since|as of|at) (?={TIME.pattern})|\s+(?:built|made|used|good)\b|\s+for$", clause.rest, flags=re.I
            )[0]
        if clause.asks_for_subject:
            after = re.match(r"happens? (?:to|with) (.+?)(?: in | by |$)", f"{clause.verb} {clause.rest}", re.I)
            if after:
                return after.group(1)
            if clause.wh.lower() in ("who", "what") or clause.noun.endswith("s") or not _asks_which(clause.wh):
                return self.done_to or (names or [""])[0]
            return (
                self.name_answered
                or (f"the {clause.noun}" if clause.noun and not clause.noun.istitle() else "")
                or (names or [""])[0]
            )
        singular = clause.noun and not clause.noun.lower().endswith("s") and clause.wh.lower().startswith(("which", "what"))
        if singular and self.name_answered:
            return self.name_answered
        if clause.subject.lower() in SPEAKERS:
            return self.done_to
        if clause.subject and _is_person(clause.subject, self):
            said = re.match(r"about (.+)", clause.rest, re.I)
            others = [name for name in names if name not in clause.subject]
            return said.group(1) if said else self.name_answered or (others or [""])[0]
        return clause.subject or (names or [""])[0]

    @cached_property
    def done_to(self) -> str:
        """The object of the question's verb: "the contract", "" for none."""
        rest = self.clause.rest if self.clause and self.clause.verb else ""
        if rest.lower().split()[:1] and rest.lower().split()[0] in (*QUESTION_WORD, "whether", "that"):
            return ""
        prepositions = "|".join(PREPOSITION)
        found = re.match(rf"(?!(?:{prepositions})\b)(\S.*?)(?= (?:{prepositions}|and|or) |$)", rest, re.I)
        return found.group(1) if found else ""

    @cached_property
    def acted_on(self) -> str:
        """Trainium2 of "When did AWS unveil Trainium2?", "" where a question has no such object."""
        clause = self.clause
        if (
            clause is None
            or not clause.subject
            or not clause.adjunct
            or (_kind(clause.subject) != "company" and not _is_person(clause.subject, self))
        ):
            return ""
        whole = re.split(rf"\s+(?:in|on|since|by) (?={TIME.pattern})", clause.rest, flags=re.I)[0]
        if own := re.match(r"(?:its|his|her|their) ", whole, re.I):
            return f"{_owning(clause.subject)} {whole[own.end() :]}"
        return whole if whole.lower().startswith("the ") else self.done_to if _kind(self.done_to) else ""

    @cached_property
    def person(self) -> str:
        """Whom "he" or "she" is after this question, "" for nobody."""
        clause = self.clause
        if clause and clause.wh.lower() in ("who", "whom") and self.name_answered and _kind(self.name_answered) == "name":
            return self.name_answered
        candidates = [match.group() for match in self.names] + ([self.name_answered] if self.name_answered else [])
        candidates += [match.group() for match in _names(self.quoted)]
        people = [name for name in candidates if _is_person(name, self)]
        return people[0] if people else ""

    @cached_property
    def company(self) -> str:
        """Which company is meant by "the company", "" for none."""
        candidates = [self.name_answered, *(match.group() for match in self.names)]
        candidates += [match.group() for match in _names(self.quoted)]
        return next((name for name in candidates if name and _kind(name) == "company"), "")

    def ask(self, wh: str) -> str:
        """The same question with another question word: "Why", "Since when", "In which year"."""
        clause = self.clause
        if clause is None:
            return f"{wh} {self.text}"
        why = wh.lower().startswith("why")
        if clause.asks_for_subject:
            return self._ask_of_subject(wh, clause)
        degree = re.match(r"how (?!many\b|much\b)(\w+)$", clause.wh, re.I)
        if clause.copula and degree and why:
            return f"{wh} {clause.aux} {clause.rest} so {degree.group(1)}"
        if clause.copula and clause.wh.lower() == "who" and self.name_answered:
            return f"{wh} {clause.aux} {self.name_answered} {clause.rest}"
        if clause.copula and clause.wh and not clause.adjunct:
            known = re.match(r"the |\S+['’]s ", clause.rest, re.I) and self.short and len(self.short.split()) <= 5
            return f"{wh} {clause.aux} {clause.rest} {self.short}" if known else f"{wh}? ({self.text})"
        if clause.copula or not clause.verb:
            return f"{wh} {clause.aux} {clause.rest}"
        counted = re.match(r"(?:an?|any) ([a-z]+)\b(.*)", clause.rest)
        if wh.lower() == "how much" and counted:  # "Did Tesla make a profit in 2023?"
            return f"{wh} {counted.group(1)} {clause.aux} {clause.subject} {clause.verb} {counted.group(2)}"
        filled = "" if clause.adjunct else clause.noun or (self.short if len(self.short.split()) <= 8 else "")
        if not clause.adjunct and _base(clause.verb) in SPEAKING:
            filled = "that" if re.match(r"(?:about|in|at) \w{2}", clause.rest) else self.short
        if not filled and not clause.adjunct and why:
            return f"{wh}? ({self.text})"
        if clause.rest.lower() in PREPOSITION:  # "Who did Microsoft invest in?"
            return f"{wh} {clause.aux} {clause.subject} {clause.verb} {clause.rest} {filled}"
        return f"{wh} {clause.aux} {clause.subject} {clause.verb} {filled} {clause.rest}"

    def _ask_of_subject(self, wh: str, clause: _Clause) -> str:
        if clause.verb == "happen" and (to := re.match(r"(?:to|with) (.+?)(?P<when> (?:in|by|after|before) .+)?$", clause.rest)):
            return f"{wh} {clause.aux} {to.group(1)} change{to['when'] or ''}"
        who = self.name_answered or clause.noun
        if not who:
            return f"{wh}? ({self.text})"
        if clause.aux:
            return f"{wh} {clause.aux} {who} {clause.verb} {clause.rest}"
        base = _base(clause.verb)
        aux = "do" if base == clause.verb else "does" if clause.verb.endswith("s") else "did"
        return f"{wh} {aux} {who} {base} {clause.rest}"

    @cached_property
    def embedded(self) -> str:
        """The question inside another one: "how much AWS spent in 2022"."""
        clause = self.clause
        if clause is None:
            return f"“{self.text}”"
        wh = (clause.wh[:1].lower() + clause.wh[1:]) or "whether"
        if clause.asks_for_subject:
            return f"{wh} {clause.aux} {clause.verb} {clause.rest}"
        if clause.copula:
            subject = clause.rest if clause.wh else _head(clause.rest)
            return f"{wh} {subject} {clause.aux} {clause.rest[len(subject) :]}"
        if clause.aux in ("do", "does", "did") and clause.verb:
            form = {"do": clause.verb, "does": _third(clause.verb), "did": PAST.get(clause.verb) or _ed(clause.verb)}[clause.aux]
            return f"{wh} {clause.subject} {form} {clause.rest}"
        return f"{wh} {clause.subject} {clause.aux} {clause.verb} {clause.rest}" if clause.verb else f"“{self.text}”"


def _asks_which(wh: str) -> bool:
    """Whether a question word asks for one of a kind, "which cloud", not for a count or a share of it."""
    return re.match(r"(?:which|what) (?!share|percent|part|fraction|proportion|number)", wh, re.I) is not None


def _parse(text: str) -> _Clause | None:
    """A question's parts; None for a request or a bare noun phrase."""
    words = text.split()
    low = [re.sub(r"(?<=\w)n['’]t$", "", word.lower().strip(",.;:")) for word in words]
    asks = low[0] in QUESTION_WORD or (len(low) > 1 and low[0] in PREPOSITION and low[1] in QUESTION_WORD)
    if not asks and low[0] not in AUXILIARY:
        return None
    at = 0
    if asks:
        first = 1 + (low[0] in PREPOSITION)
        noun_at = (
            first
            + (low[first - 1] in ("which", "what", "whose"))
            + 2 * (low[first - 1 : first + 1] in (["how", "many"], ["how", "much"]))
        )
        for at in range(first, len(low)):
            if low[at] in AUXILIARY:
                break
            own = at >= noun_at or low[first - 1] in ("who", "what")
            if (
                own
                and _base(low[at]) in VERBS
                and not (at + 1 < len(low) and low[at + 1] in AUXILIARY)
                and low[at - 1] not in PREPOSITION
            ):
                return _Clause(" ".join(words[:at]), "", "", low[at], " ".join(words[at + 1 :]))
        else:
            return None
    wh, aux, body = " ".join(words[:at]), low[at], words[at + 1 :]
    inner = low[at + 1 :]
    takes_subject = (
        wh.lower().split()[:1] in (["who"], ["what"], ["which"]) or re.match(r"how (?:many|much)\b", wh, re.I) is not None
    )
    verbs = [
        i
        for i, word in enumerate(inner)
        if _fits(word, aux)
        and not (i and (inner[i - 1] in ("the", "a", "an", "to", *PREPOSITION) or body[i - 1].endswith(("'s", "’s"))))
    ]
    if verbs and (verbs[0] or takes_subject):
        # In "the night train to Oslo leave" the first that could be the verb is part of a noun.
        noun = (
            len(verbs) > 1
            and verbs[0] == 2
            and inner[0] in ("the", "a", "an")
            and not {*inner[verbs[0] : verbs[1]]} & {"that", "who", *AUXILIARY}
        )
        i = verbs[1] if noun else verbs[0]
        subject = re.sub(r" being$", "", " ".join(body[:i]))
        return _Clause(wh, aux, subject, inner[i], " ".join(body[i + 1 :]))
    if aux in ("has", "have", "had") and takes_subject and wh:  # "Which planets have rings?"
        return _Clause(wh, "", "", aux, " ".join(body))
    if aux in ("do", "does", "did"):  # an unknown verb follows a name
        cut = next((i for i in range(1, len(body)) if body[i].islower() and body[i].isalpha() and not body[i - 1].islower()), 0)
        if cut and inner[cut] not in FUNCTION:
            return _Clause(wh, aux, " ".join(body[:cut]), inner[cut], " ".join(body[cut + 1 :]))
    return _Clause(wh, aux, "", "", " ".join(body))


def _fits(word: str, aux: str) -> bool:
    """Whether a word can be the main verb after this auxiliary."""
    if aux in ("is", "are", "was", "were", "has", "have", "had"):
        regular = len(word) > 4 and word.endswith("ed") and word not in ("speed", "need")
        return regular or word in PARTICIPLE or (word.endswith("ing") and _base(word) in VERBS and aux[0] in "iaw")
    return word in VERBS or word == "be"


def _base(verb: str) -> str:
    """The infinitive of a verb's form, the form itself when the verb is not known."""
    if verb in VERBS:
        return verb
    if verb in BASE:
        return BASE[verb]
    if verb in ("has", "had"):
        return "have"
    for ending, added in (
        ("ies", "y"),
        ("es", ""),
        ("s", ""),
        ("ied", "y"),
        ("ed", ""),
        ("ed", "e"),
        ("d", ""),
        ("ing", ""),
        ("ing", "e"),
    ):
        stem = verb.removesuffix(ending) + added
        if verb.endswith(ending):
            for candidate in (stem, stem[:-1] if stem[-2:-1] == stem[-1:] else stem):
                if candidate in VERBS:
                    return candidate
    return verb


def _third(verb: str) -> str:
    return {"have": "has", "do": "does", "go": "goes"}.get(verb) or (
        verb[:-1] + "ies" if re.search(r"[^aeiou]y$", verb) else verb + "s"
    )


def _ed(verb: str) -> str:
    if re.search(r"[^aeiou]y$", verb):
        return verb[:-1] + "ied"
    return verb + ("d" if verb.endswith("e") else "ed")


def _ing(verb: str) -> str:
    doubled = re.fullmatch(r"(?:[^aeiou]*|re)[^aeiou]?[aeiou][^aeiouwxyn]", verb)
    return (verb[:-1] if verb.endswith("e") else verb + verb[-1] if doubled else verb) + "ing"


def _head(phrase: str) -> str:
    """The subject of "Is Claude open source": the name or the noun with its article that the phrase begins with."""
    match = next(iter(_names(phrase, first=True)), None)
    if match is not None and match.start() <= 4:
        return phrase[: match.end()]
    words = re.split(rf" (?:{'|'.join(PREPOSITION)}) ", phrase)[0].split()
    if re.match(rf"(?:{ARTICLE}|this|that|his|her|its|their|my|our)\s", phrase, re.I):
        return " ".join(words[:-1] if len(words) > 2 else words)
    return " ".join(words[: next((i for i, word in enumerate(words) if i and word in FUNCTION), max(1, len(words) - 1))])


# --- names ------------------------------------------------------------------------------------------------------------


def _names(text: str, *, first: bool = False) -> Iterator[re.Match[str]]:
    """Runs of words that name somebody or something; `first`: the first word's capital counts, though a sentence has one."""
    words = list(WORD.finditer(text))
    run: list[re.Match[str]] = []
    for i, word in enumerate(words):
        named = _is_name(word.group(), opens=i == 0 and not first)
        follows = bool(run) and text[run[-1].end() : word.start()] == " " and not run[-1].group().endswith(("'s", "’s", "'", "’"))
        if run and follows and (named or re.fullmatch(r"\d{1,2}(?:\.\d+)?", word.group())):
            run.append(word)
            continue
        yield from _run(text, run)
        run = [word] if named else []
    yield from _run(text, run)


def _run(text: str, run: list[re.Match[str]]) -> Iterator[re.Match[str]]:
    if run and not all(word.group().lower().strip(".'’s") in GENERIC or TIME.fullmatch(word.group()) for word in run):
        end = run[-1].end()
        own = re.compile(r".+?(?=(?:['’]s?|\.)?$)", re.S).match(text, run[0].start(), end)
        if own is not None:
            yield own


def _is_name(word: str, *, opens: bool) -> bool:
    core = re.sub(r"['’]s?$|\.$", "", word)
    low = core.lower()
    if low in FUNCTION or not core[:1].isalpha():
        return False
    if low in COMPANIES or low in PLACES:
        return low not in ("us", "meta", "turkey", "apple", "arm", "oracle", "alphabet") or core != low
    if opens:
        return any(char.isupper() or char.isdigit() for char in core[1:])
    return core[0].isupper() or any(char.isupper() for char in core[1:])


def _kind(phrase: str) -> str:
    """What a phrase names: "time", "place", "company" or, when that cannot be told, "name"; "" for no name at all."""
    words = [re.sub(r"['’]s?$", "", word) for word in re.sub(rf"^{ARTICLE} ", "", phrase.lower()).split()]
    if TIME.fullmatch(" ".join(words)):
        return "time"
    if words and all(word in PLACES or word in COMPASS for word in words):
        return "place"
    if words and (
        all(word in COMPANIES or word in COMPANY_WORDS or word == "ai" for word in words)
        or words[-1] in ("inc", "corp", "ltd", "gmbh")
    ):
        return "company"
    return "name" if next(iter(_names(phrase, first=True)), None) is not None else ""


def _is_person(name: str, turn: _Turn) -> bool:
    """Whether a name is somebody's: two or three capitalised words, or one that the quote has speaking."""
    if _kind(name) != "name" or re.search(r"\d", name):
        return False
    last = re.escape(name.split()[-1])
    role = r"(?:CEO|CTO|CFO|President|Chairman|Mr\.?|Mrs\.?|Ms\.?|Dr\.?|Professor|Prof\.?)"
    speaks = r"(?:said|says|emphasized|emphasised|noted|expressed|revealed|argued|explained|wrote|told|added)"
    if re.search(
        rf"{role} (?:\w+ )?{last}\b|\b{speaks} (?:\w+ )?{last}\b|{last},? {speaks}\b|According to {last}",
        f"{turn.quoted} {turn.text}",
    ):
        return True
    clause = turn.clause
    return bool(
        clause
        and clause.subject == name
        and _base(clause.verb) in SPEAKING
        and re.fullmatch(r"[A-Z][a-z]+ (?:[A-Z]\.? )?[A-Z]\w+", name)
    )


def _cased(phrase: str, turns: Sequence[_Turn]) -> str:
    """A name typed in small letters, as it is written."""

    def cased(match: re.Match[str]) -> str:
        word = match.group()
        if not word.islower() or word in FUNCTION:
            return word
        if word in CASED:
            return CASED[word]
        if word in COMPANIES or word in PLACES or word in MONTHS:
            return word.capitalize()
        seen = (re.search(rf"(?<=\w )(?=\w*[A-Z])(?i:{re.escape(word)})\b", f"{t.quoted} {t.text}") for t in turns)
        return next((found.group() for found in seen if found), word)

    return re.sub(r"[\w-]+", cased, phrase)


# --- fragments: "why?", "And Microsoft?", "in Europe?" ------------------------------------------------------------------


def _from_fragment(asked: str, typed: str, turns: Sequence[_Turn], *, led: bool) -> str | None:
    """A question without a clause of its own, put into the question before; None when it has one."""
    last = turns[0]
    if WHY.fullmatch(asked):
        return last.ask("Why")
    if CONFIRM.fullmatch(asked):
        return last.text
    if SOURCE.fullmatch(asked):
        return f"Which file says {last.embedded}"
    if asked.lower() in ("says who", "who says"):
        return f"Who says {last.embedded}"
    if reporter := REPORTER.fullmatch(asked):
        return f"{asked[: reporter.end('verb')]} {last.embedded}"
    if (event := EVENT.fullmatch(asked)) and (made := _event(event, last)):
        return made
    if comparison := COMPARISON.fullmatch(asked):
        return _comparison(comparison, next((turn for turn in turns if re.match(r"how (?:much|many)\b", turn.text, re.I)), last))
    if MORE.fullmatch(asked):
        return f"Tell me more about {last.topic}"
    about = ABOUT.match(asked)
    fragment = asked[about.end() :] if about else asked
    words = fragment.lower().split()
    if not words or len(words) > 6:
        return None
    if BARE_QUESTION.match(fragment) and not PRONOUN.search(fragment):
        return _bare_question(fragment, last)
    if (too := TOO.fullmatch(fragment)) and not about:
        return _too(too, last, turns)
    if any(word in AUXILIARY for word in words) or words[0] in NO_FRAGMENT:
        return None
    if len(words) > 1 and _base(words[0]) in VERBS | {"compare", "list", "name", "summarize", "summarise", "define", "translate"}:
        return None
    return _substituted(fragment, last, turns) if led or about or _is_bare(fragment, typed, last, turns) else None


def _is_bare(fragment: str, typed: str, last: _Turn, turns: Sequence[_Turn]) -> bool:
    """Whether words without "and" or "what about" ask the last question of something else, and are not words to search for."""
    words = fragment.split()
    name = _cased(fragment, turns)
    if words[0].lower() in PREPOSITION:
        return len(words) <= 4
    kind = _kind(name)
    if kind == "time" or (kind in ("company", "place") and any(_kind(match.group()) == kind for match in last.names)):
        return True
    whole = next((match.group() for match in _names(name, first=True)), "")
    owned = re.match(r"(?:its|their|his|her)\b|\S+['’]s$", fragment, re.I) is not None
    return typed.endswith("?") and (owned or (len(words) <= 3 and len(whole) >= len(re.sub(rf"^{ARTICLE} |['’]s?$", "", name))))


def _event(event: re.Match[str], last: _Turn) -> str | None:
    """ "When did it start?", "why did that happen?": what the question before told of."""
    clause = last.clause
    if event["verb"].lower().startswith(("happen", "occur", "take", "come")):
        return last.ask(event["wh"])
    if clause and clause.subject and clause.verb and clause.adjunct and clause.aux != "be":
        ends = event["verb"].lower().startswith(("end", "stop", "fin"))
        return f"{event['wh']} {event['aux']} {clause.subject} {'stop' if ends else 'start'} to {_base(clause.verb)} {clause.rest}"
    return None


def _comparison(comparison: re.Match[str], last: _Turn) -> str:
    """ "Is that more than Google's?": the question before, asked of both."""
    other = comparison["other"]
    clause = last.clause
    if names := list(_names(other, first=True)):
        bare = re.sub(r"['’]s?$", "", other)
        other = bare if len(names[0].group()) == len(bare) else other
    if clause and clause.subject and clause.verb and re.match(r"how (?:much|many)\b", clause.wh, re.I):
        more = comparison["more"].lower()
        degree = "less" if more in ("less", "lower", "smaller", "fewer") else "more"
        return f"{clause.aux} {clause.subject} {clause.verb} {degree} {clause.noun} {clause.rest} than {other}"
    return f"{last.text} compared with {other}"


def _too(too: re.Match[str], last: _Turn, turns: Sequence[_Turn]) -> str | None:
    """ "Does Microsoft too?": the question before, asked of another."""
    who = _cased(too["who"], turns)
    name = next((match.group() for match in _names(who, first=True)), "")
    if len(name) < len(re.sub(rf"^{ARTICLE} ", "", who)) or last.clause is None:
        return None
    clause = last.clause
    if clause.subject and clause.verb and clause.wh.lower() in ("", "why", "how"):
        return f"{too['aux'] if clause.aux in ('do', 'does') else clause.aux} {who} {clause.verb} {clause.rest}"
    return _substituted(who, last, turns)


def _bare_question(fragment: str, last: _Turn) -> str | None:
    """ "How much?", "since when?", "in which year?", "how much in 2024?": the question before under another question word."""
    clause = last.clause
    if so := re.fullmatch(r"why (so|that|this|such) (\w+)", fragment, re.I):
        by = so.group(2).lower() in ADVERBS and clause is not None and clause.verb
        return f"{last.ask('Why')} so {so.group(2)}" if by else f"Why {_is(last.thing)} {last.thing} so {so.group(2)}"
    if fragment.lower() == "than what":
        return f"{last.text} than what"
    many = re.match(rf"how (?:many|much) (?=(?:{'|'.join(AUXILIARY)})\b)", fragment, re.I)
    if many and (noun := _plural(last.text)):
        return f"{many.group()}{noun} {fragment[many.end() :]}"
    words = fragment.lower().split()
    if any(
        word in AUXILIARY or _base(word) in VERBS - {"cost", "plan", "report", "name", "place", "show", "process"}
        for word in words[1:]
    ):
        return None
    asks = next((i for i, word in enumerate(words) if word in QUESTION_WORD), 0)
    cut = next((i for i, word in enumerate(words) if i > asks and word in PREPOSITION), len(words))
    wh, tail = " ".join(fragment.split()[:cut]), " ".join(fragment.split()[cut:])
    if clause is None:
        return f"{wh}? ({last.text}) {tail}" if not tail else None
    low = wh.lower()
    if low.endswith(" else"):
        made = f"{clause.wh} else {clause.aux} {clause.subject} {clause.verb} {clause.rest}"
    elif re.fullmatch(r"which(?: ones?)?|who(?: exactly)?|what(?: exactly)?", low):
        if not clause.wh and clause.verb and (kind := _plural(last.done_to)):
            return f"Which {kind} {clause.aux} {clause.subject} {clause.verb} {clause.rest.replace(last.done_to, '', 1)}"
        if not clause.noun and not (low.startswith("which") and len(last.names) > 1):
            return None
        made = (
            f"Which {clause.noun} {clause.aux} {clause.subject} {clause.verb} {clause.rest}"
            if clause.noun
            else f"{wh} of {_listed(last)}"
        )
    elif re.fullmatch(r"(?:which|what) (?:year|month|day|date|quarter|country|city|place|state|region)", low):
        made = last.ask(f"in {wh}")
    elif clause.noun and low == ("how many" if clause.noun.endswith("s") else "how much"):
        made = f"{wh} {clause.noun} {clause.aux} {clause.subject} {clause.verb} {clause.rest}"
    elif low == "how many" and (noun := _plural(last.text)):
        made = re.sub(rf"\s+{re.escape(noun)}\b", "", last.ask(f"how many {noun}")[len(f"how many {noun}") :])
        made = f"how many {noun}{made}"
    else:
        made = last.ask(re.sub(r" exactly$", "", wh))
    return _placed(made, tail) if tail else made


def _listed(turn: _Turn) -> str:
    return " and ".join(dict.fromkeys(match.group() for match in turn.names))


def _plural(text: str) -> str:
    """The last plural noun in small letters, "jobs"; "" for none."""
    found = re.findall(r"(?<!['’])\b(?!does\b|is\b|was\b|has\b|this\b|its\b|his\b|yes\b|plus\b)[a-z]{2,}[^s\W]s\b", text)
    plain = [word for word in found if _base(word) == word or not re.search(rf"\b(?:which|who|what)(?: \w+)? {word}\b", text)]
    return plain[-1] if plain else ""


def _substituted(fragment: str, last: _Turn, turns: Sequence[_Turn]) -> str | None:
    """The last question with its parts replaced by those of the fragment that are alike: "Amazon" | "in Anthropic"."""
    starts = [m.start() for m in re.finditer(rf"(?<!\S)(?:{'|'.join(PREPOSITION)})\s(?!$)", fragment, re.I)]
    cuts = sorted({0, *starts, len(fragment)})
    parts = [fragment[a:b].strip() for a, b in pairwise(cuts) if fragment[a:b].strip()]
    if len(parts) > 1 and re.match(r"the ones? ", parts[0] + " ", re.I):
        parts = [fragment]
    elif len(parts) > 1 and not _kind(_cased(parts[0], turns)) and parts[0].lower().split()[0] not in PREPOSITION:
        parts = [fragment]  # "the cost of training" is one thing
    text: str | None = last.text
    for part in parts:
        if text is None:
            return None
        preposition = part.split()[0]
        if preposition.lower() in PREPOSITION and len(part.split()) > 1:
            text = _placed(text, f"{preposition.lower()} {_cased(part[len(preposition) :].strip(), turns)}")
        else:
            text = _exchanged(text, _cased(part, turns), last, turns)
    return None if text == last.text else text


def _placed(text: str, phrase: str) -> str:
    """A question with "in Europe" put where it has another "in …" of the same kind, else at its end."""
    preposition, _, what = phrase.partition(" ")
    if not what:
        return text
    kind = _kind(what)
    month = re.fullmatch(MONTH, what, re.I)
    if month and (there := re.search(rf"\b{MONTH}(?= {YEAR}\b)", text, re.I)):
        return text[: there.start()] + what + text[there.end() :]
    if (month or re.fullmatch(r"q[1-4]", what, re.I)) and (there := re.search(rf"\b{YEAR}\b", text)):
        return f"{text[: there.start()]}{what} {text[there.start() :]}"
    if kind == "time" and (there := TIME.search(text)):
        return text[: there.start()] + what + text[there.end() :]
    ends = rf"(?=\s(?:{'|'.join(PREPOSITION)}|and|or|than)\s|$)"
    for place in re.finditer(rf"(?<=\s)(?P<prep>{re.escape(preposition)})\s(?P<what>.+?){ends}", text, re.I):
        old = _kind(place["what"])
        if (
            old == kind
            or (kind in ("name", "place") and old in ("name", "place"))
            or (preposition in ("about", "for") and old != "time")
        ):
            return f"{text[: place.start()]}{phrase}{text[place.end() :]}"
    return f"{text} {phrase}"


def _exchanged(text: str, what: str, last: _Turn, turns: Sequence[_Turn]) -> str | None:
    """A question asked of something else: the part of it that is of the same kind is exchanged."""
    if made := _other_noun(text, what, last):
        return made
    named = re.match(r"[Tt]he [A-Z0-9]", what) is not None
    if (own := re.match(r"(?:its|their|his|her|the) (?=\w)", what, re.I)) and not named:
        return _asked_of_part(text, what[own.end() :], last, turns, definite=own.group().lower() == "the ")
    if what.lower() in ("elsewhere", "other places", "other countries", "other locations", "anywhere else"):
        place = re.search(r"(?<=\s)in (?!\d)(?P<what>\S+(?: [A-Z]\S*)*)", text)
        return f"{text[: place.start()]}in other locations{text[place.end() :]}" if place else f"{text} elsewhere"
    if re.search(r"['’]s$", what):
        owner = re.search(r"[A-Z]\w*['’]s?(?=\s)", text)
        if owner:
            return text[: owner.start()] + what + text[owner.end() :]
        what = re.sub(r"['’]s$", "", what)
    kind = _kind(what)
    if kind == "time":
        return _placed(text, f"in {what}") if re.search(r"\d|^\w+$", what) else f"{text} {what}"
    whole = next((match.group() for match in _names(what, first=True)), "")
    if kind and len(whole) >= len(re.sub(rf"^{ARTICLE} ", "", what)):
        slots = list(_names(text))
        alike = [slot for slot in slots if _kind(slot.group()) == kind] or slots
        if alike:
            start, end = alike[0].span()
            article = re.search(r"\bthe $", text[:start], re.I)
            if article and re.match(rf"$| (?:{'|'.join(FUNCTION)})\b", text[end:]):
                start = article.start()
            return text[:start] + what + text[end:]
        if last.clause and last.clause.asks_for_subject and not last.clause.aux:  # "Which planets have rings?" "And Mars?"
            base = _base(last.clause.verb)
            past = last.clause.verb not in (base, "has") and not last.clause.verb.endswith("s")
            return f"{'did' if past else 'does'} {what} {base} {last.clause.rest}"
        return _placed(text, f"in {what}") if kind == "place" else _of_noun(text, what, last)
    if re.search(r"['’]s\b", what) or (kind and len(whole) > 2):
        return f"What {_is(what)} {what}"  # "Google's pricing" brings its owner
    return _of_noun(text, what, last)


def _other_noun(text: str, what: str, last: _Turn) -> str:
    """The last question asked of another thing of no name: "the butcher", "a bun", "my email"; "" where it asks of none."""
    clause = last.clause
    if (
        clause is None
        or not clause.verb
        or _base(clause.verb) in SPEAKING
        or re.match(r"(?:its|their|his|her) ", what, re.I)
        or (_kind(what) and not what[:4].islower())
        or _kind(what) == "time"
    ):
        return ""
    if clause.verb and what.lower() in VERBS and clause.subject:
        return text.replace(f" {clause.verb}", f" {what.lower()}", 1)
    spoken = clause.subject.lower() in SPEAKERS
    named = clause.subject and next(_names(clause.subject.split()[0], first=False), None)
    old = last.done_to if spoken or clause.asks_for_subject else "" if named else clause.subject
    if (
        not old
        or old not in text
        or (clause.subject and clause.noun and not what[:4].lower().startswith(("the ", "a ", "an ")) and clause.noun.endswith("s"))
    ):
        return ""
    if one := re.match(r"(?:the|that|those) ones? (?=\w)", what, re.I):
        preposition = what[one.end() :].split()[0]
        kept = re.split(rf" (?:{'|'.join(PREPOSITION)}) ", old)[0]
        return text.replace(old, f"{kept} {what[one.end() :]}", 1) if preposition in PREPOSITION else ""
    if next(_names(old), None) is not None and not old.lower().startswith(("the ", "a ", "my ")):
        return ""
    return text.replace(old, what, 1)


def _of_noun(text: str, what: str, last: _Turn) -> str:
    """A question asked of another common noun: "and costs?", "what about latency?"."""
    clause = last.clause
    if about := re.search(r"\babout (.+?)(?=\s(?:in|at|on|by)\s|$)", text):
        named = next(_names(about.group(1), first=True), None)
        of_it = f"{_owning(about.group(1))} {what}" if named and named.end() == len(about.group(1)) else what
        return f"{text[: about.start(1)]}{of_it}{text[about.end(1) :]}"
    if clause and clause.copula and what.islower() and (owner := re.search(r" (?:for|of) (?P<of>[a-z][^A-Z]*)$", text)):
        return f"{text[: owner.start('of')]}{what}"
    if clause and clause.noun and clause.noun.islower() and what.lower().endswith("s") == clause.noun.endswith("s"):
        return text.replace(clause.noun, what, 1)
    if not last.names:
        return f"What {_is(what)} {what}"
    return f"What {_is(what)} the {what} of {last.thing or last.names[0].group()}"


def _asked_of_part(text: str, noun: str, last: _Turn, turns: Sequence[_Turn], *, definite: bool) -> str | None:
    """ "And its price?", "the CEO?"."""
    role = re.search(r"\bthe (?:\w+ ){1,3}?(?=(?:of|for|behind) )", text, re.I)
    if definite and role:
        return f"{text[: role.start()]}the {noun} {text[role.end() :]}"
    owner = last.thing
    if role and (of := re.search(r"\bof ([A-Z].*)$", text)):
        owner = of.group(1)  # "Who is the partner of Google?", "its chips?": Google's
    return f"What {_is(noun)} {_owning(owner)} {noun}" if owner else None


def _is(noun: str) -> str:
    return "are" if re.search(r"[^s\W]s$", noun) and not noun.endswith(("us", "is")) else "is"


def _owning(owner: str) -> str:
    return f"{owner}'" if re.search(r"[a-z]s$", owner) and not owner.istitle() else f"{owner}'s"


# --- pronouns and "the company" -----------------------------------------------------------------------------------------


def _from_pronouns(asked: str, turns: Sequence[_Turn]) -> str | None:
    """A question with its pronouns replaced by what they stand for; None when it has none, or one of them stays dark."""
    made: list[str] = []
    end = 0
    typed, clause = asked, turns[0].clause
    if clause and clause.verb:  # "why did she do that?": do what was asked of
        asked = re.sub(r"\bdo (?:that|this|it|so|the same)\b", f"{_base(clause.verb)} {clause.rest}", asked, flags=re.I)
    for match in list(PRONOUN.finditer(asked))[:4]:
        if match["word"] == "IT" or not _refers_back(asked, match, turns):
            continue
        replaced = _referent(asked, match, turns)
        if replaced is None:
            return None
        start, stop, text = replaced
        if start < end:
            continue
        if clause and clause.verb and text in made and match["word"].lower() in ("that", "this"):
            text = f"{_ing(_base(clause.verb))} {clause.rest}"  # "What did Microsoft get out of that?": of investing
        made += [asked[end:start], text]
        end = stop
    if made:
        text = re.sub(r"\s+(?:too|also|as well)$", "", "".join(made) + asked[end:])
        return _dated(text, turns[0])
    if asked != typed:
        return asked
    return _from_open_comparison(asked, turns) or _from_definite(asked, turns)


def _dated(text: str, last: _Turn) -> str:
    """A question about the past asked after one about a certain year means that year."""
    year = re.search(rf" in (?:{MONTH} )?{YEAR}\b", last.text, re.I)
    past = re.match(r"(?:how (?:much|many)|what|which)\b[^,]*? (did|was|were|had) ", text, re.I)
    same = past and last.clause is not None and last.clause.aux == past.group(1) and re.match(r"how|what|which", last.text, re.I)
    return text + year.group() if year and same and not TIME.search(text) else text


def _refers_back(asked: str, match: re.Match[str], turns: Sequence[_Turn]) -> bool:
    """Whether a pronoun means something that only the conversation names."""
    word, before, after = match["word"].lower(), asked[: match.start()], asked[match.end() :]
    if any(empty.start() <= match.start() < empty.end() for empty in EMPTY_IT.finditer(asked)):
        return False
    if word == "there" and (
        re.search(r"\b(?:is|are|was|were|be|been)\s+$", before, re.I) or re.match(r"\s+(?:is|are|was|were)\b", after)
    ):
        return False
    if _earlier(before):
        return False
    if re.search(r":| or ", after):
        return False  # "which of these is a fruit: …" goes on to name them
    tokens = re.findall(r"[\w'’-]+", before.lower())
    if word in ("that", "this", "these", "those"):
        noun = re.match(r"\s+([\w-]+)", after)
        following = noun.group(1).lower() if noun else ""
        if (
            word == "that"
            and following
            and not ((tokens and tokens[-1] in AUXILIARY) or _in_kinds(following) or following in PREPOSITION)
        ):
            return False
        if _in_kinds(following) or not following:
            return True
        if tokens[-1:] == [] or tokens[-1] not in PREPOSITION:  # "is that noise the pump makes", "that" as a mere article
            if tokens and tokens[-1] in ("is", "are", "was", "were") and len(after.split()) > 3 and following not in GRADES:
                return False
            if (
                word != "that"
                and following not in (*AUXILIARY, *PREPOSITION)
                and _base(following) not in VERBS
                and tokens[-1:] != ["is"]
            ):
                return False
        return following != "about" or next(_names(before), None) is None  # "where did Huang say that about AWS?" names all of it
    content = [i for i, token in enumerate(tokens) if token not in FUNCTION and _base(token) != "do"]
    aux = next((i for i, token in enumerate(tokens) if token in AUXILIARY), None)
    claimed = tokens and tokens[-1] in VERBS and re.match(rf"\s+(?:{'|'.join(AUXILIARY)}|\w+s)\b", after)
    if word in ("it", "he", "she", "they") and claimed and any(tokens[i] not in VERBS for i in content):
        return False  # "what does AWS claim it will do": AWS
    if word in ("its", "their", "his", "her", "itself", "theirs", "hers"):
        start = -1 if aux is None else aux
        if word == "her" and not re.match(r"\s+\w", after):
            return True
        inner = [i for i in content if i > start and (aux is not None or i > 0)]
        if aux is None and tokens and tokens[0] in ("which", "what", "how"):
            inner = [i for i in content if i > 0]
        return not [i for i in inner if _base(tokens[i]) not in VERBS or i == start + 1]
    return True


def _earlier(before: str) -> bool:
    """Whether an earlier clause of the same question names what a pronoun stands for."""
    ends = [boundary.start() for boundary in BOUNDARY.finditer(before) if boundary.start() > 0]
    words = re.findall(r"[\w'’-]+", before[: ends[-1]].lower()) if ends else []
    return any(word not in FUNCTION and _base(word) not in VERBS for word in words)


def _in_kinds(noun: str) -> bool:
    return noun in KIND_OF_COMPANY | KIND_OF_PERSON | KIND_OF_THING


def _referent(asked: str, match: re.Match[str], turns: Sequence[_Turn]) -> tuple[int, int, str] | None:
    """The stretch of the question to replace, and by what; None when nothing fits."""
    word = match["word"].lower()
    start, end = match.span()
    verb = " is" if match["is"] or word == "it's" else ""
    if (
        word in ("that", "this", "these", "those")
        and (noun := re.match(r"\s+([\w-]+)", asked[end:]))
        and _in_kinds(noun.group(1).lower())
    ):
        found = _kind_named(noun.group(1).lower(), turns, pointed=True)
        return (start, end + noun.end(), found) if found else None
    last = turns[0]
    if word in ("he", "him", "she") or (word in ("his", "her", "hers") and _first(turns, "person")):
        found = _first(turns, "person")
    elif word == "there":
        found = _place(turns)
        within = re.search(r"\b(?:in|from|at|to) $", asked[:start], re.I)
        return (within.start() if within else start, end, f"{within.group() if within else 'in '}{found}") if found else None
    elif word in ("they", "them", "their", "theirs"):
        found = _plural_thing(turns)
    elif word in ("that", "this") and re.search(r"\bmean\b", asked[:start] + asked[end:]) and last.short:
        found = f"“{last.short}”"
    elif word in ("that", "this") and last.clause and last.clause.copula and not last.clause.wh and not asked[end:].strip():
        head = _head(last.clause.rest)  # "Is Claude available on Azure?" "What does he think about that?"
        found = f"{head} being{last.clause.rest[len(head) :]}"
    elif word in ("that", "this", "it") and last.clause and re.search(r"\b(?:say|said|tell|told)\s+$", asked[:start]):
        found = f"that about {_about(last)}" if re.search(r"\b(?:say|said)\s+$", asked[:start]) else last.thing
    else:
        asked_how = (
            last.clause
            and last.clause.subject.lower() in SPEAKERS
            and re.search(r"\b(?:is|was|does|did|will|can) $", asked[:start], re.I)
        )
        if asked_how and last.clause and last.clause.verb:  # "How do I reset my password?" "How long does it take?"
            return start, end, f"{_ing(last.clause.verb)} {last.clause.rest}"
        acts = any(_base(verb) in AGENT for verb in re.findall(r"\w+", asked[end:].lower())[:2])
        found = (last.acted_on if word in ("it", "its") and not acts else "") or _first(turns, "thing")
    if not found or re.search(rf"\b{re.escape(found)}\b", asked[:start]):
        return None  # "does Amazon sell it?" about Amazon: not Amazon
    if word in ("its", "their", "his", "hers", "theirs") or (word == "her" and re.match(r"\s+\w", asked[end:])):
        found = _owning(found)
    if (
        word == "they"
        and (aux := re.search(r"\b(do|are|have|were)\s+$", asked[:start], re.I))
        and not re.search(r"[a-z]s(?: of .*)?$", found)
    ):
        singular = {"do": "does", "are": "is", "have": "has", "were": "was"}[aux.group(1).lower()]
        return aux.start(), end, f"{singular} {found}{verb}"
    return start, end, found + verb


def _group(turn: _Turn) -> str:
    """Several things that a question or its answer names, to choose from."""
    if len(turn.names) > 1:
        return _listed(turn)
    if re.search(r", | and | or ", turn.short):
        return turn.short
    return f"the {turn.clause.noun}" if turn.clause and turn.clause.noun.endswith("s") else ""


def _first(turns: Sequence[_Turn], what: str) -> str:
    return next((found for turn in turns if (found := str(getattr(turn, what)))), "")


def _about(turn: _Turn) -> str:
    """What somebody spoke of, in the question before."""
    about = re.search(r"\babout (.+)$", turn.text)
    return about.group(1) if about else turn.thing


def _plural_thing(turns: Sequence[_Turn]) -> str:
    for turn in turns:
        thing, clause = turn.thing, turn.clause
        if clause and clause.noun.endswith("s") and clause.asks_for_subject:
            return (turn.name_answered if _asks_which(clause.wh) else "") or _some(clause)
        if clause and clause.noun.endswith("s") and _kind(clause.subject) == "name":
            return f"the {clause.noun} of {clause.subject}"
        head = re.split(rf" (?:{'|'.join(PREPOSITION)}) ", thing)[0]
        if thing and (_kind(thing) in ("company", "name") or re.search(r"[^s\W]s$| and ", head)):
            return thing
        if clause and clause.noun.endswith("s"):
            return turn.name_answered or f"the {clause.noun}"
        if turn.company or (noun := _plural(turn.text)):
            return turn.company or noun
    return _first(turns, "thing")


def _some(clause: _Clause) -> str:
    """Those that a question asks the number or the names of: "enterprises", "the planets"."""
    return f"the {clause.noun}" if _asks_which(clause.wh) else clause.noun


def _place(turns: Sequence[_Turn]) -> str:
    for turn in turns:
        if turn.clause and turn.clause.wh.lower() in ("where", "which country", "which city") and turn.name_answered:
            return turn.name_answered
        found = [match.group() for match in turn.names if _kind(match.group()) == "place"]
        found += re.findall(r"\b(?:in|at) ([A-Z][\w-]*(?: [A-Z][\w-]*)*)", turn.text)
        if found:
            return found[0]
    return ""


def _kind_named(noun: str, turns: Sequence[_Turn], *, pointed: bool = False) -> str:
    """What "the company", "the chip" or (`pointed`) "that plan" is, "" if that cannot be told."""
    if noun in KIND_OF_COMPANY:
        return _first(turns, "company")
    if noun in KIND_OF_PERSON:
        return _first(turns, "person")
    for turn in turns:
        said = re.search(rf"(?:\b(?:the|a|an|this)\s+|\S+['’]s\s+)?(?:[\w$€£.-]+\s+){{0,3}}?{re.escape(noun)}\b", turn.text, re.I)
        if said and len(said.group().split()) > 1 and said.group().split()[0].lower() not in (*QUESTION_WORD, *AUXILIARY):
            return said.group()
        if turn.thing and (
            pointed or re.search(rf"\b{re.escape(noun.rstrip('s'))}s?\b", f"{turn.text} {turn.short} {turn.quoted}", re.I)
        ):
            return turn.thing
    return ""


def _from_definite(asked: str, turns: Sequence[_Turn]) -> str | None:
    """ "What are the company's challenges?", "who is the CEO?": the noun whose referent the conversation names."""
    if len(asked.split()) > 12 or next(_names(asked), None) is not None:
        return None
    for match in re.finditer(r"\bthe ([\w-]+)(?P<own>['’]s)?", asked, re.I):
        noun, rest = match.group(1).lower(), asked[match.end() :]
        if re.match(r"\s+(?:of|for|in|by|at|from|with|that|which|who|to|behind|between)\b", rest, re.I):
            return None
        if noun in OWNED and not rest.strip() and not match["own"] and len(asked.split()) <= 6:
            owner = _first(turns, "company") if noun in ("ceo", "cto", "cfo", "founder", "headquarters") else _first(turns, "thing")
            return f"{asked} of {owner}" if owner else None
        if noun in KIND_OF_COMPANY | KIND_OF_PERSON | KIND_OF_THING and re.match(r"$|\s+(?!\w+s?$)|\s+\w+$", rest):
            found = _kind_named(noun, turns)
            return f"{asked[: match.start()]}{found}{match['own'] or ''}{rest}" if found else None
    return None


def _from_open_comparison(asked: str, turns: Sequence[_Turn]) -> str | None:
    """ "Is Azure cheaper?", "which is bigger?": compared with what the question before was about."""
    last = turns[0]
    if re.search(r":| or ", asked):
        return None
    graded = r"(?:more|less|better|worse|(?!number|paper|power|server|computer|other|over|under|user|partner|order)\w{3,}er)"
    if (which := re.match(r"(?:which|who)(?: one)? (?=(?:is|are|was|has) (?:\w+ )?(?:more|less|\w+er)\b)", asked, re.I)) and len(
        last.names
    ) > 1:
        return f"Which of {_listed(last)} {asked[which.end() :]}"
    if (which := re.match(r"which (?:one|ones|of (?:them|these|those)) (?=\w)", asked, re.I)) and (group := _group(last)):
        return f"Which of {group} {asked[which.end() :]}"
    own = list(_names(asked))
    same = [
        name.group() for name in last.names if own and _kind(name.group()) == _kind(own[0].group()) and name.group() not in asked
    ]
    if (
        same
        and len(own) == 1
        and re.fullmatch(rf"(?:is|are|was) {re.escape(own[0].group())} (?:{graded}|(?:more|less) \w+)", asked, re.I)
    ):
        return f"{asked} than {same[0]}"
    return None
