"""Where claimed words stand, and which sentences they carry."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.claims import find_quote, strange, unsupported
from rag.embeddings import MiniLM
from rag.reader import ExtractiveReader
from rag.types import Chunk, Hit

LABELLED = [json.loads(line) for line in (Path(__file__).parent / "data/support.jsonl").read_text(encoding="utf-8").splitlines()]
INVESTED = "Since 2023, Amazon has invested over $8 billion in Anthropic and plans to invest further."


# --- finding the words ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words", "found"),
    [
        ("It was  lit\nin 1854.", "was lit in 1854", "was  lit\nin 1854"),
        ("the “first”\u00a0time", 'the "first" time', "the “first”\u00a0time"),
        ("Garman’s plan – so", "Garman's plan - so", "Garman’s plan – so"),
        ("cafe\u0301 au lait", "café au", "cafe\u0301 au"),
        ("caf\u00e9 au lait", "cafe\u0301", "café"),
        ("co\u00adoper\u200bate now", "cooperate", "co\u00adoper\u200bate"),
        ("the ﬁrst ofﬁce", "first office", "ﬁrst ofﬁce"),
        ("½ litre", "½ litre", "½ litre"),
        ("one two one two", "two", "two"),
    ],
)
def test_words_are_found_under_other_spacing_and_spelling_of_characters(text: str, words: str, found: str) -> None:
    where = find_quote(words, text, 0, len(text))
    assert where is not None
    assert text[slice(*where)] == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The drug cannot heal.", "The drug can"),
        ("It was lit.", "it was lit"),  # case is not evened
        ("It was lit.", "It was  lit!"),
        ("It was lit in 1854.", "lit in 185"),
        ("one two", "one three"),
        ("one two", ""),
        ("one. two", "."),
        ("It was … lit.", "It was lit"),
    ],
)
def test_other_words_are_not(text: str, words: str) -> None:
    assert find_quote(words, text, 0, len(text)) is None


def test_words_outside_of_the_passage_are_not_found() -> None:
    assert find_quote("two", "one two three", 4, 7) == (4, 7)
    assert find_quote("two", "one two three", 0, 6) is None


@given(before=st.text(max_size=20), words=st.text(min_size=1, max_size=30), after=st.text(max_size=20))
def test_any_words_of_a_text_are_found_and_are_these(before: str, words: str, after: str) -> None:
    text = f"{before} {words} {after}"
    where = find_quote(words, text, 0, len(text))
    if any(char.isalnum() for char in words):
        assert where is not None
        again = find_quote(text[slice(*where)], words, 0, len(words))
        assert again is not None


# --- carrying a sentence ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("Amazon has invested over $80 billion in Anthropic.", "the number 80 is not in its quote"),
        ("Google has invested over $8 billion in Anthropic.", "“google” is not in its quote"),
        ("Anthropic has invested over $8 billion in Amazon.", "another way"),
        ("Amazon has invested $8 billion in Anthropic.", "leaves out “over”"),
        ("Amazon has not invested in Anthropic.", "“not” is not in its quote"),
        ("Amazon invests further.", "another way"),
        ("It is so.", "it says nothing"),
        ("See https://evil.example.", "is not in its quote"),
    ],
)
def test_a_sentence_that_says_more_is_refused_with_the_reason(sentence: str, reason: str) -> None:
    assert reason in unsupported(sentence, INVESTED)


@pytest.mark.parametrize(
    ("sentence", "evidence", "reason"),
    [
        ("The tablets may be given.", "The tablets may not be given to children.", "it denies what its quote says"),
        ("AWS is carbon-neutral by 2040.", "AWS claims to be carbon-neutral by 2040.", "leaves out “claims”"),
        ("A fee of 5 euros is due.", "If you are late, a fee of 5 euros is due.", "leaves out “if”"),
        ("A fee of 5 euros is due.", "You are late, and a fee of 5 euros is due.", ""),
        ("You may be charged.", "If late you may be charged.", "leaves out “if”"),
        ("It was lit by aliens.", "Say it was lit by aliens.", "leaves out “say”"),
        ("The train leaves at 9.", "The train leaves from platform nine.", "another way"),
        ("The population was 12,400 in 2020.", "It fell from 12,400 in 1990 to 9,800 in 2020.", "is not in its quote"),
        ("The board rejected a dividend.", "The board rejected the merger and approved a dividend.", "another way"),
    ],
)
def test_what_turns_the_meaning_may_not_be_left_out(sentence: str, evidence: str, reason: str) -> None:
    found = unsupported(sentence, evidence)
    assert reason in found
    assert bool(reason) == bool(found)


@pytest.mark.parametrize(
    ("sentence", "evidence"),
    [
        ("Amazon opened an office.", "Amazon's rival Google opened an office."),
        ("AWS revealed that costs fell.", "AWS CEO Matt Garman revealed that costs fell."),
        ("Folio owned Kern.", "Folio is owned by Kern."),
        ("Folio owns Kern.", "Folio is owned by Kern."),
        ("Enterprises prefer AWS.", "Few enterprises prefer AWS."),
        ("Enterprises prefer AWS.", "Some enterprises prefer AWS."),
        ("AWS is considered a laggard.", "AWS was once considered a laggard."),
        ("Gartner found that 70% of projects fail.", "Gartner found growth of 5%, while McKinsey found that 70% of projects fail."),
        ("The dog bit the man.", "The dog's owner bit the man."),
        ("The water broke.", "The water pump broke."),
        ("Amazon bought the water.", "Amazon bought the water company."),
        ("Paris is larger than London.", "London is larger than Paris."),
        ("Anna is older than Ben.", "Ben is older than Anna."),
        ("The tax rises to 5 percent.", "The tax rises by 5 percent."),
        ("It opened in 2010.", "It was open until 2010."),
        ("Dr. Lee killed the patient.", "Dr. Lee denied that he killed the patient."),
        ("The bank is safe.", "Nobody believes the bank is safe."),
        ("The bank is safe.", "It is false that the bank is safe."),
        ("The bank is safe.", "The bank is anything but safe."),
        ("Smoking is healthy.", "It is a myth that smoking is healthy."),
        ("The company was profitable.", "The company was nearly profitable."),
        ("Profit rose.", "Profit rose fear."),
        ("Sales grew 5%.", "Sales grew 5% less."),
        ("He was cleared of murder.", "He was accused of murder."),
        ("He is guilty of murder.", "The court asked whether he is guilty of murder."),
        ("The model is open.", "Is the model open?"),
        ("The vaccine prevents infection.", "The vaccine is said to prevent infection."),
        ("Tom hit Bob.", "Tom was hit by Bob."),
        ("Tom paid Bob 5 euros.", "Tom was paid 5 euros by Bob."),
        ("Prices fell 3% in May.", "Prices fell 3% in June, and in May they rose."),
        ("The minister resigned.", "The opposition demanded the minister resigned."),
        ("X costs 5 euros.", "X costs 5 euros more than Y."),
        ("The limit is 50.", "The limit is 50 times the dose."),
        ("It is legal in France.", "It is illegal in France."),
        ("It is possible.", "It is impossible."),
        ("The results are reliable.", "The results are unreliable."),
        ("Rome has 3 airports.", "Rome had 3 airports."),
    ],
)
def test_words_in_the_same_order_may_say_something_else(sentence: str, evidence: str) -> None:
    assert unsupported(sentence, evidence)


@pytest.mark.parametrize(
    "sentence",
    ["Amazon has invested over $8 billion in Anthropic.", "Amazon invested over 8bn dollars in Anthropic since 2023.", INVESTED],
)
def test_a_sentence_that_says_no_more_is_carried(sentence: str) -> None:
    assert unsupported(sentence, INVESTED) == ""


def test_with_the_readers_answer_a_sentence_may_use_the_questions_words() -> None:
    evidence, question = "AWS CEO Matt Garman has revealed it.", "Who is the CEO of AWS?"
    assert unsupported("The CEO of AWS is Matt Garman.", evidence, question, ["Matt Garman"]) == ""
    assert unsupported("The CEO of AWS is Matt Garman.", evidence) != ""


def test_the_readers_answer_is_used_whole() -> None:
    evidence, question = "The train to Oslo leaves from nine, and Bergen from platform two.", "Where does the train to Oslo leave?"
    assert unsupported("The train to Oslo leaves from platform two.", evidence, question, ["Bergen from platform two"])


def test_headings_count_as_what_the_evidence_is_about() -> None:
    assert unsupported("The bakery opens at six.", "Opens at six.", context="Bakery") == ""
    assert unsupported("The bakery opens at six.", "Opens at six.") == "“bakery” is not in its quote"


@given(st.text(), st.text())
def test_any_text_can_be_judged(sentence: str, evidence: str) -> None:
    assert isinstance(unsupported(sentence, evidence, evidence, [sentence], sentence), str)


def test_labelled_sentences_are_told_apart(encoder: MiniLM) -> None:
    """Of 343 sentences written by hand, none that its evidence does not carry is kept, and most of the others are."""
    reader = ExtractiveReader.load(encoder)
    kept = {True: 0, False: 0}
    judged: dict[tuple[str, str], tuple[float, list[str]]] = {}
    for row in LABELLED:
        question, evidence = row["question"], row["evidence"]
        if (question, evidence) not in judged:
            asked, vector = encoder.encode([question, evidence])
            chunk = Chunk("a.txt", 0, 0, len(evidence), evidence, "", "", ((0, len(evidence)),))
            rarity = {word: 1.0 for word in question.lower().strip("?").split() if len(word) > 3}
            span = reader.read(question, [Hit(0, chunk, 1.0, float(asked @ vector), rarity)], lambda same: same)[0]
            judged[question, evidence] = span.probability, [evidence[start:end] for start, end in span.answers]
        probability, answers = judged[question, evidence]
        if probability >= reader.threshold and not unsupported(row["sentence"], evidence, question, answers):
            kept[row["supported"]] += 1
    true = sum(row["supported"] for row in LABELLED)
    assert (len(LABELLED), true) == (343, 124)
    assert kept[False] <= 3  # 0 with the reader of today
    assert kept[True] >= 0.6 * true  # 0.75


def test_what_a_rewritten_question_brings_in_is_found() -> None:
    assert strange("How much did Microsoft invest in OpenAI?", "How much? Microsoft invested in OpenAI") == ""
    assert strange("When did Google invest?", "Microsoft invested") == "google"
