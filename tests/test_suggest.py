"""Suggested questions: made from the documents' own sentences, and answered by them."""

import re

import pytest
from conftest import Workplace
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.assistant import Assistant
from rag.catalog import Catalog
from rag.suggest import DOCUMENTS, LONGEST, _ideas, _sample, suggest
from rag.types import Chunk

TOWN = {
    "harbour.md": "# Hallow harbour\n\nThe stone bridge at Hallow was opened in 1911. It carries two lanes and a tramway.\n"
    "The bridge was designed by Ada Stern, an engineer from Holm.\n\n"
    "The lighthouse tower is 45 metres high. Its keeper climbs 212 steps every evening.\n",
    "bakery.txt": "The bakery on Mill Street opens at six in the morning.\n\nA loaf of rye bread costs 4 euros, and a bun costs "
    "90 cents.\n\nThe night train to Oslo leaves from platform nine. Dogs travel free in the last carriage.\n",
}
OFFICE = {
    "handbook.md": "# Staff handbook\n\n## Leave\n\nThe deadline for expense claims is 5 April. If you are ill, call us.\n\n"
    "## Office\n\nThe spare keys are kept in the blue cupboard behind reception.\n**Kestrel** is a scheduling tool that plans the "
    "shifts of all drivers. Drivers open Kestrel on their phones.\n",
    "people.txt": "Ines Holt is the managing director. Samir Osei is a nurse who looks after first aid on the second floor.\n"
    "The canteen opens at 11:30 and closes at 14:00.\n",
}
CLUB = {
    "notes.txt": "The Lantern project was founded by Maria Lopez in 2017. It needs a server.\n",
    "history.rst": "History of the society\n======================\n\nThe Skerry Point Chess Society was founded in 1926. The "
    "society owns 40 chess boards.\nMarguerite Blum was a Swiss chess player who won the first tournament of the society.\n",
}
EXPECTED = [
    (TOWN, "When was the stone bridge at Hallow opened?"),
    (TOWN, "How much does a loaf of rye bread cost?"),
    (TOWN, "Where does the night train to Oslo leave from?"),
    (OFFICE, "Where are the spare keys kept?"),
    (OFFICE, "What is Kestrel?"),
    (OFFICE, "When is the deadline for expense claims?"),
    (CLUB, "Who founded the Lantern project?"),
    (CLUB, "When was the Skerry Point Chess Society founded?"),
]
EVERY = 50


def suggested(workplace: Workplace, count: int = 4) -> list[str]:
    with Catalog.open(workplace.index) as catalog:
        return suggest(catalog, count)


def filled(empty: Workplace, files: dict[str, str]) -> Workplace:
    for name, text in files.items():
        empty.write(name, text)
    empty.build()
    return empty


# --- over the seeds ---------------------------------------------------------------------------------------------------


def test_the_seeds_give_questions_of_several_documents_and_kinds(assistant: Assistant) -> None:
    questions = suggest(assistant.catalog)
    assert len(questions) == 4
    assert len({assistant.ask(question).quotes[0].source for question in questions}) >= 3
    assert len({" ".join(question.split()[:2]) for question in questions}) >= 2


def test_every_question_over_the_seeds_is_answered(assistant: Assistant) -> None:
    questions = suggest(assistant.catalog, EVERY)
    assert len(questions) > 4
    assert [question for question in questions if not assistant.ask(question).answered] == []


def test_fewer_are_the_first_of_more(assistant: Assistant) -> None:
    assert suggest(assistant.catalog, 2) == suggest(assistant.catalog, 4)[:2]
    assert suggest(assistant.catalog, 0) == []


# --- over other folders -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("files", [TOWN, OFFICE, CLUB], ids=["town", "office", "club"])
def test_every_question_over_other_folders_is_answered(empty: Workplace, files: dict[str, str]) -> None:
    questions = suggested(filled(empty, files), EVERY)
    assert len(questions) >= 4
    with Assistant.open(index=empty.index, sources=empty.sources) as assistant:
        assert [question for question in questions if not assistant.ask(question).answered] == []


@pytest.mark.parametrize(("files", "question"), EXPECTED, ids=[question for _, question in EXPECTED])
def test_a_sentence_is_turned_round_as_a_person_would(empty: Workplace, files: dict[str, str], question: str) -> None:
    assert question in suggested(filled(empty, files), EVERY)


@pytest.mark.parametrize(
    "sentence",
    [
        "It was opened in 1911.",
        "This bridge was opened in 1911.",
        "In 2012, a company from Oslo, was sold.",
        "If the door was opened in 2019 and nobody closed it, call the porter.",
        "RESULTS: A total of 40 patients took part in the trial.",
        "Note: The office is closed on Monday.",
        "John Wesley, a friend of the family, came to dinner.",
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit.",
        "What does this mean for you and your team?",
        "El puente de piedra fue inaugurado en 1911.",
        "Die Brücke wurde 1911 eröffnet.",
    ],
)
def test_a_sentence_in_doubt_gives_no_question(empty: Workplace, sentence: str) -> None:
    assert suggested(filled(empty, {"a.txt": f"{sentence}\n"})) == []


def test_nothing_of_markdown_or_mojibake_is_in_a_question(empty: Workplace) -> None:
    filled(
        empty,
        {
            "a.md": "- **[Tarn](http://example.test/x)** is a build tool that Lantern uses. Ask for Tarn at the desk.\n"
            "- ๐Ÿ’ก The *old* mill at Brack was built in 1788.\n"
            "- The <b>new</b> mill at Brack was built in 1999.\n"
        },
    )
    assert sorted(suggested(empty)) == ["What is Tarn?", "When was the old mill at Brack built?"]


def test_code_and_an_empty_index_give_none(empty: Workplace) -> None:
    filled(empty, {"a.py": "# The bridge at Hallow was opened in 1911.\n"})
    assert suggested(empty) == []
    (empty.sources / "a.py").unlink()
    empty.build()
    assert suggested(empty) == []


@settings(max_examples=60)
@given(
    st.lists(
        st.sampled_from([*" ".join([*TOWN.values(), *OFFICE.values(), *CLUB.values()]).split(), "\n", "<b>", "![x](y)", "\u202e"])
    )
)
def test_whatever_the_documents_hold_a_question_is_plain(words: list[str]) -> None:
    text = " ".join(words)
    units = tuple((match.start(), match.end()) for match in re.finditer(r"\S[^.\n]*\.?", text))
    for idea in _ideas(Chunk("a.txt", 0, 0, len(text), text, "", "", units), text):
        assert re.fullmatch(r"[A-Z][\w ’'.,&/$€£%+-]*\?", idea.question)
        assert len(idea.question) <= LONGEST


def test_of_many_documents_few_are_looked_at_all_over_the_folder(empty: Workplace) -> None:
    numbers = range(3 * DOCUMENTS)
    filled(empty, {f"{i:03}.txt": f"The bridge number {i} at Hallow was opened in {1200 + i}.\n" for i in numbers})
    with Catalog.open(empty.index) as catalog:
        seen = [chunks[0].source for chunks in _sample(catalog)]
        questions = suggest(catalog)
    assert len(seen) == DOCUMENTS
    assert (seen[0], seen[-1]) == ("000.txt", "045.txt")
    assert questions == ["When was the bridge number 0 at Hallow opened?"]  # the others ask the same of another number
