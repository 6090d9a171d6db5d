"""This project, with the settings that it ships with: reads and cuts the files itself."""

from collections.abc import Callable

from benchmarks.peers import FOUND, Said, Task, passage_id
from rag import Answer, Assistant, Quote, build_index
from rag.embeddings import open_encoder


def builder(task: Task) -> Callable[[], int]:
    encoder = open_encoder(None)
    encoder.encode(["waking up"])

    def build() -> int:
        return build_index(task.documents, task.index, encoder=encoder).chunks

    return build


def open_system(task: Task) -> "Folio":
    return Folio(Assistant.open(index=task.index))


class Folio:
    """An opened assistant."""

    def __init__(self, assistant: Assistant) -> None:
        self.assistant = assistant

    def search(self, question: str) -> list[str]:
        return [passage_id(hit.chunk.source, hit.chunk.start) for hit in self.assistant.search(question, limit=FOUND)]

    def ask(self, question: str) -> Said:
        reply = self.assistant.ask(question)
        return Said(words(reply), refused=not reply.answered)


def words(reply: Answer) -> str:
    """The short answer; of a refusal or a yes-or-no question the words marked in the best passage."""
    if reply.short is not None:
        return reply.short
    best = next(iter(reply.quotes or reply.nearest), None)
    return marked(best) if best else ""


def marked(quote: Quote) -> str:
    """The first marked words of a quote; all of it when nothing is marked."""
    start, end = next(iter(quote.highlights), (quote.start, quote.end))
    return quote.text[start - quote.start : end - quote.start]
