"""English as closed lists: function words, verbs and their forms, places, and the phrases that follow a question up."""

import re
from collections.abc import Iterable

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
# Continents and countries, word by word, but for those that are other words too (Turkey, New Zealand) or names (Jordan).
PLACES = frozenset(
    "africa america americas antarctica asia asia-pacific australia europe oceania north south east west latin central middle "
    "eastern western northern southern afghanistan albania algeria andorra angola argentina armenia austria azerbaijan bahamas "
    "bahrain bangladesh barbados belarus belgium belize benin bhutan bolivia bosnia herzegovina botswana brazil britain brunei "
    "bulgaria burkina faso burundi cambodia cameroon canada chile china colombia comoros congo costa rica croatia cuba cyprus "
    "czechia czech denmark djibouti dominica dominican ecuador egypt el salvador england eritrea estonia eswatini ethiopia eu "
    "european fiji finland france gabon gambia germany ghana greece grenada guatemala guinea guyana haiti honduras hungary "
    "iceland india indonesia iran iraq ireland israel italy jamaica japan kazakhstan kenya kiribati korea kosovo kuwait "
    "kyrgyzstan laos latvia lebanon lesotho liberia libya liechtenstein lithuania luxembourg macedonia madagascar malawi "
    "malaysia maldives malta mauritania mauritius mexico micronesia moldova monaco mongolia montenegro morocco mozambique "
    "myanmar namibia nauru nepal netherlands nicaragua niger nigeria norway oman pakistan palau palestine panama paraguay peru "
    "philippines poland portugal qatar romania russia rwanda samoa san marino saudi arabia scotland senegal serbia seychelles "
    "sierra leone singapore slovakia slovenia somalia spain sri lanka sudan suriname sweden switzerland syria taiwan tajikistan "
    "tanzania thailand togo tonga trinidad tobago tunisia turkmenistan tuvalu u.k u.s uganda uk ukraine united arab emirates "
    "kingdom states uruguay us usa uzbekistan vanuatu vatican venezuela vietnam wales yemen zambia zimbabwe".split()
)
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


def any_of(words: Iterable[str]) -> str:
    """A pattern for any of these words; a longer one before what it begins with."""
    return f"(?:{'|'.join(map(re.escape, sorted(words, reverse=True)))})"


AUX, PREP, WH, NOUN = any_of(AUXILIARY), any_of(PREPOSITION), any_of(QUESTION), any_of(COMPANY_NOUN + THING_NOUN)
MONTH = r"(?:january|february|march|april|may|june|july|august|september|october|november|december|q[1-4])"
TIME = rf"(?i:\b(?:(?:{MONTH} )?(?:18|19|20|21)\d\d(?:-\d\d)?|{MONTH}|(?:last|next|this) (?:year|month|week|quarter))\b)"
_NAME = rf"(?!(?i:{any_of(FUNCTION)})(?![\w-]))[\w-]*[A-Z](?:[\w&.-]*\w)?"
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
INTO = re.compile(r"(?i)\b(?:invest|believ|engag|participat|speciali[sz])(?:e|s|es|ed|ing|ment|ments)? $")  # verbs that take "in"
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
