"""Follow-up questions: completed from the conversation, and left alone when they stand alone; measured with real retrieval."""

import re
import time
from pathlib import Path

import pytest
from conftest import SEEDS
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.followup import Outcome, as_good_as_rewritten, conversations, replay, share, unchanged
from rag.assistant import LONGEST_QUESTION, Assistant
from rag.followup import LONGEST, complete
from rag.settings import Settings
from rag.types import Answer, Quote


def turn(question: str, short: str = "", quoted: str = "", understood: str = "") -> Answer:
    """An earlier answer; a refusal without `short` and `quoted`."""
    text = quoted or short
    quote = Quote(text=text, source="a.txt", start=0, end=len(text), line_start=1, line_end=1, score=0.9, sha256="0" * 64)
    quotes = (quote,) if text else ()
    answered = bool(quotes)
    return Answer(
        question=question, understood=understood, text="", short=short or None, answered=answered, confidence=0.9, quotes=quotes
    )


FILES = {"microsoft": "Microsoft", "google": "Google"}  # how they write a name
INVESTED = turn("How much did Amazon invest in Anthropic?", "$8 billion")
CEO = turn("Who is the CEO of AWS?", "Matt Garman", "AWS CEO Matt Garman has revealed a new plan.")
TRAIN = turn("When does the night train to Oslo leave?", "at nine")
BREAD = turn("What does rye bread cost?", "4 euros")
BAKERY = turn("When does the bakery open?", "at six")
PASSWORD = turn("How do I reset my password?", "click Forgot")
SYMPTOMS = turn("What are the symptoms of flu?", "fever")

# --- what follows up --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "typed", "understood"),
    [
        # A question word takes the place of the one before.
        (INVESTED, "why?", "Why did Amazon invest in Anthropic?"),
        (INVESTED, "But why?", "Why did Amazon invest in Anthropic?"),
        (INVESTED, "when", "When did Amazon invest in Anthropic?"),
        (INVESTED, "since when?", "Since when did Amazon invest in Anthropic?"),
        (INVESTED, "in which year?", "In which year did Amazon invest in Anthropic?"),
        (INVESTED, "when did it start?", "When did Amazon start to invest in Anthropic?"),
        (INVESTED, "who said that?", "Who said how much Amazon invested in Anthropic?"),
        (INVESTED, "says who?", "Who says how much Amazon invested in Anthropic?"),
        (turn("When did Amazon invest in Anthropic?", "2023"), "how much?", "How much did Amazon invest in Anthropic?"),
        (CEO, "since when?", "Since when is Matt Garman the CEO of AWS?"),
        (turn("Which chips does AWS use?", "Trainium2"), "why?", "Why does AWS use chips?"),
        (turn("Which cloud leads in Asia?", "AWS"), "why?", "Why does AWS lead in Asia?"),
        (turn("Who wrote Hamlet?", "William Shakespeare"), "when?", "When did William Shakespeare write Hamlet?"),
        (turn("How tall is the Eiffel Tower?", "330 m"), "why so tall?", "Why is the Eiffel Tower so tall?"),
        (turn("Which planets have rings?", "Saturn"), "how many?", "How many planets have rings?"),
        (turn("How many jobs will AI create?", "30 million"), "how many were lost?", "How many jobs were lost?"),
        (turn("Who did Microsoft invest in?", "OpenAI"), "how much?", "How much did Microsoft invest in OpenAI?"),
        (turn("Does the phone have a jack?", "no"), "why not?", "Why does the phone not have a jack?"),
        (turn("What happened to Enron?", "it failed"), "why?", "Why? (What happened to Enron)"),
        (TRAIN, "from which platform?", "From which platform does the night train to Oslo leave?"),
        # A fragment takes the place of its like.
        (INVESTED, "And Microsoft?", "How much did Microsoft invest in Anthropic?"),
        (INVESTED, "and microsoft", "How much did Microsoft invest in Anthropic?"),
        (INVESTED, "Microsoft?", "How much did Microsoft invest in Anthropic?"),
        (INVESTED, "waht about google", "How much did Google invest in Anthropic?"),
        (INVESTED, "What about Microsoft in OpenAI?", "How much did Microsoft invest in OpenAI?"),
        (INVESTED, "what about 2023?", "How much did Amazon invest in Anthropic in 2023?"),
        (INVESTED, "and in Europe?", "How much did Amazon invest in Anthropic in Europe?"),
        (INVESTED, "does Google too?", "How much did Google invest in Anthropic?"),
        (turn("Does AWS use its own chips?", "Trainium2"), "Does Google too?", "Does Google use its own chips?"),
        (turn("What did Amazon announce in May 2023?", "a chip"), "and in june?", "What did Amazon announce in June 2023?"),
        (turn("What did the board decide in March?", "a merger"), "and in April?", "What did the board decide in April?"),
        (turn("Where are AWS's data centers?", "Indiana"), "And Azure's?", "Where are Azure's data centers?"),
        (turn("Is Azure cheaper than AWS?"), "and Google Cloud?", "Is Google Cloud cheaper than AWS?"),
        (turn("Which planets have rings?", "Saturn"), "and Mars?", "Does Mars have rings?"),
        (turn("What did Huang say about AWS?", "it grows"), "and about costs?", "What did Huang say about costs?"),
        (TRAIN, "and to Bergen?", "When does the night train to Bergen leave?"),
        (BREAD, "and a bun?", "What does a bun cost?"),
        (BAKERY, "and the butcher?", "When does the butcher open?"),
        (BAKERY, "on Sundays?", "When does the bakery open on Sundays?"),
        (PASSWORD, "and my email?", "How do I reset my email?"),
        (SYMPTOMS, "what about measles?", "What are the symptoms of measles?"),
        (SYMPTOMS, "and the treatment?", "What is the treatment of flu?"),
        (INVESTED, "and its revenue?", "What is Amazon's revenue?"),
        # A pronoun, or "the company", is what the conversation named.
        (INVESTED, "what does it sell?", "What does Amazon sell?"),
        (INVESTED, "what does the company sell?", "What does Amazon sell?"),
        (INVESTED, "who is the CEO?", "Who is the CEO of Amazon?"),
        (CEO, "when did he become CEO?", "When did Matt Garman become CEO?"),
        (CEO, "what is his plan?", "What is Matt Garman's plan?"),
        (turn("When did AWS unveil Trainium2?", "2023"), "what does it cost?", "What does Trainium2 cost?"),
        (turn("When did AWS confirm the plan?", "2026"), "what does it include?", "What does the plan include?"),
        (turn("Where was Marie Curie born?", "Warsaw"), "how many people live there?", "How many people live in Warsaw?"),
        (BAKERY, "when does it close?", "When does the bakery close?"),
        (turn("Which chips does AWS use?"), "which one is the newest?", "Which of the chips of AWS is the newest?"),
        (turn("What does AWS plan in India?"), "what did Garman say about it?", "What did Garman say about AWS?"),
        (PASSWORD, "how long does it take?", "How long does resetting my password take?"),
        (turn("What does AWS plan in Ohio?"), "how many work there?", "How many work in Ohio?"),
        (turn("What is AWS planning in India?"), "and Mexico?", "What is AWS planning in Mexico?"),
        (turn("Was money invested in Boeing?"), "what does the company sell?", "What does Boeing sell?"),
        (SYMPTOMS, "how long do they last?", "How long do the symptoms of flu last?"),
        (turn("tell me about the merger"), "when is it?", "When is the merger?"),
        # A comparison has a second side.
        (INVESTED, "is that more than Google's?", "How much did Amazon invest in Anthropic compared with Google's?"),
        (turn("How expensive is AWS?"), "is Azure cheaper?", "Is Azure cheaper than AWS?"),
        (INVESTED, "tell me more", "Tell me more about Amazon."),
    ],
)
def test_a_follow_up_is_completed_from_the_turn_before(before: Answer, typed: str, understood: str) -> None:
    assert complete(typed, [before], spelled=lambda word: FILES.get(word, word)) == understood


def test_a_name_typed_in_small_letters_is_known_from_the_files_alone() -> None:
    before = turn("how much did amazon invest in anthropic?")
    known = {name: name.title() for name in ("amazon", "anthropic", "microsoft")}
    assert complete("and microsoft?", [before], spelled=lambda word: known.get(word, word)) == (
        "How much did Microsoft invest in Anthropic?"
    )
    assert "Microsoft" not in complete("and microsoft?", [INVESTED])


def test_a_follow_up_of_a_follow_up_refers_to_how_that_was_understood() -> None:
    second = turn("And Microsoft?", understood="How much did Microsoft invest in OpenAI?")
    assert complete("why?", [INVESTED, second]) == "Why did Microsoft invest in OpenAI?"


def test_a_refused_question_counts_too() -> None:
    assert complete("and Microsoft?", [turn("How much did Amazon invest in Boeing?")]) == "How much did Microsoft invest in Boeing?"


def test_a_turn_that_asks_nothing_is_passed_over() -> None:
    assert complete("And Microsoft?", [INVESTED, turn("thanks!")]) == "How much did Microsoft invest in Anthropic?"


def test_somebody_named_some_turns_ago_is_still_he() -> None:
    assert complete("when did he start?", [CEO, turn("What is Bedrock?", "a service")]) == "When did Matt Garman start?"


# --- what stands alone ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "question",
    [
        "How much does Google spend on research?",
        "What does Google say about its chips?",
        "Is it true that AWS is carbon neutral?",
        "Who said that AI is too expensive?",
        "What time is it?",
        "Is there a plan for Europe?",
        "How do companies protect their data when they move to the cloud?",
        "If AWS grows, will it need more power?",
        "Why do people say that Azure is slow?",
        "In Europe, what limits AWS?",
        "how does the system handle errors?",
        "And what is the capital of France?",
        "Which of these is a fruit: an apple or a car?",
        "Why burn the hole in the tape instead of slicing it?",
        "Which place had its wettest day in May?",
        "How long did it take to build the viaduct?",
        "Whose idea was it to check every page?",
        "Who wrote Let Them Burst?",
        "Why doesn't the company make us change passwords every month?",
        "compare AWS and Azure",
        "trainium2 energy efficiency",
        "the cost of training GPT-4",
        "thanks",
        "ok",
        "hello",
        "?!",
    ],
)
@pytest.mark.parametrize("before", [INVESTED, CEO, BAKERY])
def test_a_question_that_stands_alone_comes_back_as_it_was_typed(before: Answer, question: str) -> None:
    assert complete(question, [before]) == question


def test_without_a_conversation_nothing_is_completed() -> None:
    assert complete("And Microsoft?", []) == "And Microsoft?"


def test_one_who_is_not_known_stays_a_pronoun() -> None:
    assert complete("when was she born?", [BAKERY]) == "when was she born?"


def test_a_pasted_page_is_not_bent_and_nothing_refers_to_one() -> None:
    page = "And what about it? " * 100
    assert complete(page, [INVESTED]) == page
    assert complete("And Microsoft?", [turn(page)]) == "And Microsoft?"


def test_a_completion_too_long_is_not_made() -> None:
    assert complete("And Microsoft?", [INVESTED], longest=42) == "And Microsoft?"
    assert len(complete("And Microsoft?", [INVESTED], longest=43)) == 43


def test_a_completed_question_may_be_as_long_as_any_question() -> None:
    assert LONGEST == LONGEST_QUESTION


# --- any text ---------------------------------------------------------------------------------------------------------

WORDS = (
    "And and what about in of the a that it its they their he she there this is was does did do how much many why when who which "
    "one ones Microsoft Amazon AWS Oslo Europe 2023 May company chip plan CEO invest invested cost more less than said say happen "
    "else so too my I you , . ? : ( ) ' 's “ ” \\ \\1 {0} % 8 billion train leave open opens spoke about long old"
).split()
TYPED = st.one_of(st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join), st.text(max_size=60))
TURNS = st.lists(st.builds(turn, TYPED, TYPED, TYPED, TYPED), max_size=8)


@given(TYPED, TURNS)
@example("is it?", [turn("is")])
@example("and it?", [turn("How did \\1 Amazon get its \\g plan?")])
def test_whatever_is_typed_is_completed_once_and_stays_a_question(typed: str, history: list[Answer]) -> None:
    completed = complete(typed, history)
    assert completed.strip() or not typed.strip()
    assert len(completed) <= LONGEST
    assert complete(completed, history) == completed
    assert complete(typed, []) == typed


@given(TYPED, TURNS)
def test_only_the_last_six_turns_count(typed: str, history: list[Answer]) -> None:
    assert complete(typed, [INVESTED] * 500 + history + [CEO] * 6) == complete(typed, [CEO] * 6)


@pytest.mark.parametrize("part", ["what about ", "and ", "it ", "Amazon ", "a b ", "in ", "the plan ", "((((", "A.", "?", "that, "])
def test_long_text_takes_no_long_time(part: str) -> None:
    for size in (200, 20_000):
        text = (part * size)[:size]
        history = [turn(text, text, text, text)] * 6
        began = time.process_time()
        complete(text, history)
        complete("what does it do there?", history)
        assert time.process_time() - began < 2  # a hundredth of it, as a rule: what would hang is what is looked for


# --- measured over the seeds ------------------------------------------------------------------------------------------

# Bounds stand a few follow-ups below what was measured (`python -m benchmarks.followup`), so that they fail on a loss, not on
# noise. The held-out half was written after the code, and the code was not adapted to it.
BOUNDS = {"development": {"completed": 0.75, "as good": 0.88}, "held-out": {"completed": 0.58, "as good": 0.78}}
RECORDED = conversations()


@pytest.fixture(scope="module")
def outcomes(seeds_index: Path, _one_model: None) -> list[Outcome]:
    """All of the held-out half and every third conversation of the other, read in few passages: the benchmark has all of it."""
    some = [one for number, one in enumerate(RECORDED) if one["split"] == "held-out" or number % 3 == 0]
    with Assistant.open(Settings.load(index=seeds_index, passages=3)) as assistant:
        return replay(assistant, some, quotes=False)


def of(split: str, outcomes: list[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.split == split]


def test_each_half_is_large_enough_and_its_answers_are_in_the_files() -> None:
    texts = {path.name[:3]: path.read_text(encoding="utf-8") for path in SEEDS.iterdir()}
    for split in ("development", "held-out"):
        turns = [each for one in RECORDED if one["split"] == split for each in one["turns"]]
        follow_ups = [each for each in turns if "gold" in each]
        assert len(follow_ups) >= 30
        assert sum(each.get("alone", False) for each in turns) >= 20
        for each in follow_ups:
            assert any(re.search(each["answer"], texts[file]) for file in each["files"]), each
    assert len(RECORDED) >= 50


@pytest.mark.parametrize("split", BOUNDS)
def test_most_completed_follow_ups_retrieve_the_right_passage_first(outcomes: list[Outcome], split: str) -> None:
    some = of(split, outcomes)
    assert share(some, "completed") >= BOUNDS[split]["completed"]
    assert share(some, "completed") >= share(some, "typed") + 0.3
    assert as_good_as_rewritten(some) >= BOUNDS[split]["as good"]


@pytest.mark.parametrize("split", BOUNDS)
def test_nearly_all_questions_that_stand_alone_are_left_alone(outcomes: list[Outcome], split: str) -> None:
    assert unchanged(of(split, outcomes)) >= 0.97
