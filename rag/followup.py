"""A question of a conversation → one that stands alone.

No language model: closed word lists, a shallow parse of the question before, and three moves. A question word ("since when?",
"who said that?") takes the place of the one before, a fragment ("And Microsoft?", "in 2023?") that of its like in the question
before, and a pronoun becomes what that question was about or what its answer named. Whatever names its own subject is left as
it was typed: a follow-up missed is asked again, a good question bent is answered wrongly.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from rag.turns import (
    LONGEST_TURN,
    Spelled,
    Turn,
    base_form,
    be_of,
    called_in,
    cased,
    find_name,
    inflected,
    is_name,
    is_verb,
    kind_of,
    names_in,
    read_turn,
    several_of,
    stripped,
    thing_of,
)
from rag.types import Answer
from rag.wording import (
    ABOUT,
    AUX,
    AUXILIARY,
    BARE,
    BE,
    CLAUSE_END,
    COMPANY_NOUN,
    COMPARISON,
    EMPTY,
    EVENT,
    FUNCTION,
    GRADED,
    INTO,
    LEAD,
    MONTH,
    MORE,
    NAME,
    OWNED,
    PREP,
    PREPOSITION,
    PRONOUN,
    QUESTION,
    REPORTER,
    SINGULAR,
    SPEAKER,
    TIME,
    TOO,
    VERB,
    WHY,
    any_of,
)

LONGEST = 2000  # characters of a completed question, as many as a question may have
LOOK_BACK = 6  # turns that a follow-up may refer to


def complete(question: str, history: Sequence[Answer], *, longest: int = LONGEST, spelled: Spelled = str) -> str:
    """The question as it reads without the conversation before it; the question itself when it stands alone.

    `history` holds the conversation's answers, oldest first; the last six count. `spelled` says how the files write a word, for
    names that are typed in small letters. The result is at most `longest` characters when the question is, and is unchanged when
    completed again with the same history.
    """
    completed = _completed(question, history, spelled)
    if completed == question or len(completed) > longest:
        return question
    # One that would itself be completed was built wrongly: better to ask what was typed.
    return completed if _completed(completed, history, spelled) == completed else question


def _completed(question: str, history: Sequence[Answer], spelled: Spelled) -> str:
    typed = " ".join(question.split()) if len(question) <= LONGEST_TURN else ""
    turns = [turn for answer in reversed(history[-LOOK_BACK:]) if (turn := read_turn(answer, spelled))] if typed else []
    asked = cased(stripped(typed), spelled)
    if not turns or not asked:
        return question
    made = _from_question_word(asked, turns) or _from_fragment(asked, typed, turns) or _from_pronouns(asked, turns)
    if not made:
        return question
    made = " ".join(made.split()).rstrip("?.! ")
    return made[:1].upper() + made[1:] + ("" if made.endswith(")") else "." if made.startswith(("Tell", "Explain")) else "?")


# --- a question word: "why?", "since when?", "who said that?" ---------------------------------------------------------


def _from_question_word(asked: str, turns: Sequence[Turn]) -> str | None:
    """A question word and what little it brings, asked of the question before; None when it brings more."""
    last = turns[0]
    if WHY.fullmatch(asked):
        made = _ask("Why", last)
        return made.replace(f"{last.subject} ", f"{last.subject} not ", 1) if last.subject and asked.lower() == "why not" else made
    if MORE.fullmatch(asked):
        return f"Tell me more about {thing_of(last) or last.text}"
    if reporter := REPORTER.fullmatch(asked):
        return f"{reporter['asks'] or 'Who says'} {_embedded(last)}"
    if event := EVENT.fullmatch(asked):
        verb = base_form(event["verb"].lower())
        if verb in ("happen", "do", base_form(last.verb)):
            return _ask(event["wh"], last)
        if verb in ("start", "begin", "end", "stop") and last.subject and last.adjunct:
            return f"{event['wh']} {event['aux']} {last.subject} {verb} to {base_form(last.verb)} {last.rest}"
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


def _from_bare_question(bare: re.Match[str], last: Turn) -> str | None:
    """ "How much?", "since when?", "which ones?", "how much in 2024?"."""
    asked, wh = bare.group().lower(), bare["wh"].lower().removesuffix(" exactly")
    if bare["tail"] and len(wh.split()) > 1 + wh.startswith("how "):
        return None  # "how many mailboxes on the ship"
    brought = re.sub(r"^.*?\b(?:which|what|how|who)(?: (?:report|study|cost))?", "", asked).split()
    if any(word in AUXILIARY or is_verb(word) for word in brought):
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


def _embedded(turn: Turn) -> str:
    """The question before inside another one: "how much AWS spent in 2022"."""
    wh = f"{turn.wh[:1].lower()}{turn.wh[1:]}" or "whether"
    if turn.subject and turn.aux in ("do", "does", "did"):
        ending = {"do": "", "does": "s", "did": "ed"}[turn.aux]
        return f"{wh} {turn.subject} {inflected(turn.verb, ending) if ending else turn.verb} {turn.rest}"
    if turn.verb:
        return f"{wh} {turn.subject} {turn.aux} {turn.verb} {turn.rest}"
    subject = turn.rest if turn.wh else thing_of(turn)
    return f"{wh} {subject} {turn.aux} {turn.rest.removeprefix(subject)}" if turn.aux else f"“{turn.text}”"


def _ask(wh: str, turn: Turn) -> str:
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
    return f"{wh}? ({turn.text if turn.wh else thing_of(turn)})"


def _asked_of(who: str, turn: Turn) -> str:
    """A question that asks for its subject, asked of one: "Which planets have rings?" of Mars is "does Mars have rings"."""
    base = base_form(turn.verb)
    does = "do" if base == turn.verb and who == turn.asked else "does" if turn.verb in (base, inflected(base, "s")) else "did"
    return f"{turn.aux or does} {who} {turn.verb if turn.aux else base} {turn.rest}"


# --- a fragment: "And Microsoft?", "what about 2023?", "in Europe?" -----------------------------------------------------


def _from_fragment(asked: str, typed: str, turns: Sequence[Turn]) -> str | None:
    """Words without a clause of their own, put into the question before; None for a whole question and words to search for."""
    last, about = turns[0], ABOUT.match(asked)
    said = " ".join(f"{turn.quoted} {turn.text}" for turn in turns)
    fragment = cased(asked[about.end() :] if about else asked, str, said)
    fragment = re.sub(rf"(?i)^(?:the|that|those) ones? (?={PREP} )|^(?:the|that) (?=.+ ones?$)| ones?$", "", fragment)
    words = fragment.lower().split()
    if len(words) > 6 or words[0] in ("if", "because", "i", "you", "we", "he", "she", "it", "they", "please"):
        return None
    if (too := TOO.fullmatch(fragment)) and is_name(too["who"]) and last.aux and not about:
        aux = too["aux"] if last.aux in ("do", "does") else last.aux
        yes_or_no = last.subject and last.wh.lower() in ("", "why", "how")
        return f"{aux} {too['who']} {last.verb} {last.rest}" if yes_or_no else _exchanged(last.text, too["who"], last)
    kind = kind_of(fragment)
    alike = kind in ("time", "place") or words[0] in PREPOSITION or (typed.endswith("?") and is_name(fragment))
    own_verb = {*AUXILIARY, *QUESTION, "compare", "list", "name", "describe"} & {*words} or (
        len(words) > 1 and is_verb(words[0]) and not words[0].endswith("ing")
    )
    if own_verb or "," in fragment or not (about or LEAD.match(typed) or alike):
        return None
    starts = [match.start() for match in re.finditer(rf"(?<!\S){PREP} (?=\S)", fragment, re.I)]
    if starts and starts[0] and not kind_of(fragment[: starts[0]]):
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
    kind, time = kind_of(what), re.search(TIME, text)
    if kind == "time" and time:
        year = re.search(r" \d{4}$", time.group()) if re.fullmatch(MONTH, what, re.I) else None
        return text[: time.start()] + what + (year.group() if year else "") + text[time.end() :]
    name = f"{NAME}|" if preposition not in ("about", "for") else ""  # "about AWS margins", but "to Oslo" leave
    for place in re.finditer(rf"(?<= ){re.escape(preposition)} (?P<what>{name}.+?(?= (?:{PREP}|and|or|than) |$))", text):
        old = kind_of(place["what"])
        if kind == "place" and old == "name" and INTO.search(text[: place.start()]):
            continue  # "invest in Anthropic", and this in Europe
        if kind == old or {kind, old} == {"name", "place"} or (preposition in ("about", "for", "on") and old != "time"):
            return text[: place.start()] + phrase + text[place.end() :]
    return f"{text} {phrase}"


def _exchanged(text: str, what: str, last: Turn) -> str | None:
    """A question asked of something else: the part of it that is of the same kind is exchanged."""
    kind, names, thing = kind_of(what), names_in(text), thing_of(last)
    if own := re.match(r"(?:its|their|his|her) (?=\w)", what, re.I):
        return f"What {be_of(what)} {thing}'s {what[own.end() :]}" if thing else None
    if what.lower() == "elsewhere":
        return re.sub(r"(?<= in )[A-Z]\S*(?: [A-Z]\S*)*", "other places", text)
    if kind == "time":
        return _placed(text, f"in {what}")
    if is_name(what) and names:
        old = next((name for name in names if kind_of(name) == kind), names[0])
        its_article = rf"(?:\bthe (?={re.escape(old)}(?:$| {any_of(FUNCTION)}\b)))?"
        return re.sub(rf"{its_article}(?<![\w-]){re.escape(old)}(?![\w-])", lambda _: re.sub(r"['’]s$", "", what), text, count=1)
    if kind == "place":
        return _placed(text, f"in {what}")
    if not last.aux and not last.verb:
        return text.replace(thing, what) if thing and thing != text else None  # "Explain photosynthesis." "And respiration?"
    if is_name(what) and last.asked and last.verb and not last.subject:
        return _asked_of(what, last)
    if what.lower() in VERB and last.subject:  # "How many jobs will AI displace?" "And create?"
        return text.replace(f" {last.verb}", f" {what.lower()}", 1)
    if re.search(r"['’]s | of ", what):
        return f"What {be_of(what.split(' of ')[0])} {what}"  # "Google's pricing" brings its owner
    if about := re.search(r"\babout (.+?)(?= (?:in|at|on|by) |$)", text):
        topic = f"{about[1]}'s {what}" if is_name(about[1]) else what
        return text[: about.start(1)] + topic + text[about.end(1) :]
    article, part = what.startswith(("the ", "a ", "an ")), what.removeprefix("the ")
    if (of := re.search(r" (?:of|for) ([a-z][^A-Z]*)$", text)) and last.aux and not last.verb and not article:
        return text[: of.start(1)] + what  # "What are the symptoms of flu?" "And covid?"
    old = last.object if last.object and (not article or last.subject.lower() in SPEAKER) else last.subject
    if last.verb and old and old[0].islower() and not names_in(old):
        return text.replace(old, what, 1)
    if kind and thing and thing in text:
        return text.replace(thing, what, 1)
    owner = thing.split(" of ")[-1]
    return f"What {be_of(part)} the {part} of {owner}" if owner else None


# --- a pronoun, "the company", a comparison with one side ---------------------------------------------------------------


def _from_pronouns(asked: str, turns: Sequence[Turn]) -> str | None:
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
            found = f"{inflected(base_form(last.verb), 'ing')} {last.rest}"
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
    if owned := re.fullmatch(rf"(?:what|who) (?:is|was|are) the ({any_of(OWNED)})", asked, re.I):
        owner = find_name("company", turns) if owned[1].lower() in ("ceo", "cto", "cfo", "founder") else thing_of(turns[0])
        return f"{asked} of {owner}" if owner else None
    if (graded := re.fullmatch(rf"(?:is|are|was) (.+?) {GRADED}", asked, re.I)) and is_name(graded[1]):
        others = [name for name in names_in(turns[0].text) if kind_of(name) == kind_of(graded[1]) and name != graded[1]]
        return f"{asked} than {others[0]}" if others else None
    return None


def _agreeing(before: str, subject: str) -> str:
    """The words before a subject, their auxiliary in its number: "how much do " they, "how much does " AWS."""
    for plural, singular in SINGULAR.items():
        other, own = (singular, plural) if be_of(subject) == "are" else (plural, singular)
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
        return match["that"].lower() != "the" or (len(asked.split()) <= 7 and not names_in(asked))
    following = (re.findall(r"^ ([\w-]+)", after) or [""])[0]
    last = (before.lower().split() or [""])[-1]
    if word in ("that", "this", "these", "those"):
        if last in BE and re.match(rf" (?:the|an?|[\w-]+(?: {PREP}|$))\b", after):
            return True  # "is that bad for the climate", "is that a lot"
        return following in ("", *PREPOSITION) or (last in ("", *AUXILIARY) and (is_verb(following) or following in AUXILIARY))
    if word == "it" and re.match(r"(?: enough)? (?:to|if)\b" if last in BE else r" (?:cost|take) .*\bto\b", after):
        return False  # "whose idea was it to …", "how long did it take to …"
    of_it = word in ("its", "their", "his", "theirs") or (word == "her" and following)
    claimed = is_verb(last) and (following in AUXILIARY or is_verb(following))  # "what does AWS claim it will do"
    aux = re.search(rf"\b{AUX}\b", before, re.I)
    brought = _brings(before[aux.end() :] if aux else before)
    if aux and of_it and not brought and re.match("ha[ds]|have", aux.group(), re.I):
        return not _brings(before)  # "which place had its wettest day"
    if word in ("it", "they", "them") and not claimed:
        return brought < (2 if aux else 3)  # "why burn the hole in the tape instead of slicing it"
    return not (of_it or claimed) or not brought


def _brings(text: str) -> int:
    """How many words of a question name something."""
    return sum(word not in FUNCTION and not is_verb(word) for word in re.findall(r"[\w'’-]+", text.lower()))


def _referent(asked: str, match: re.Match[str], turns: Sequence[Turn]) -> str:
    """What a pronoun or "the company" stands for, "" if that cannot be told."""
    word, noun, before = (match["word"] or "").lower(), (match["noun"] or "").lower(), asked[: match.start()]
    thing = next((found for turn in turns if (found := thing_of(turn))), "")
    if re.search(r"\b(?:say|said) $", before):
        return f"that about {thing}" if thing else ""
    if noun in COMPANY_NOUN:
        return find_name("company", turns)
    if noun:
        said = rf"(?:\b(?:the|an?) |\S+['’]s )(?:[\w$€£.-]+ ){{1,3}}?{noun}\b|\b{noun.title()} [A-Z]\w+"
        context = [turn.text for turn in turns] + [turn.quoted for turn in turns]
        named = next((there.group() for text in context if (there := re.search(said, text))), "")
        spoken_of = match["that"].lower() != "the" or any(noun in text.lower() for text in context)
        return named or (f"the {noun} of {thing}" if spoken_of and kind_of(thing) else thing if spoken_of else "")
    if word in ("he", "him", "she", "his", "her", "hers"):
        found = find_name("person", turns) or next((name for turn in turns if (name := called_in(turn))), "")
    elif word == "there":
        found = find_name("place", turns)
        return found if not found or re.search(r"\b(?:in|from|at|to) $", before, re.I) else f"in {found}"
    elif word in ("they", "them", "their", "theirs"):
        found = several_of(turns[0]) or thing
        found = f"the {turns[0].asked}" if turns[0].asked.endswith("s") and before.endswith("of ") else found
    else:
        found = thing
    last = turns[0]
    if last.subject.lower() in SPEAKER and last.object and asked[match.end() :].startswith(" take"):
        return f"{inflected(last.verb, 'ing')} {last.object}"  # "How do I reset my password?" "How long does it take?"
    if word in ("that", "this") and last.aux and not last.wh and not last.verb and not asked[match.end() :]:
        return f"{found} being{last.rest.removeprefix(found)}"  # "Is Claude on Azure?" "What does he think about that?"
    of_it = word in ("its", "their", "his", "hers", "theirs") or (word == "her" and asked[match.end() :])
    return f"{found}'s" if found and of_it else found
