"""What the systems are compared on: collections of files, the questions asked, and what is right. Nothing of them is kept here.

Each is laid out as a folder of text files and cut once into passages by this project's chunker. This project indexes the folder;
the others are handed the passages, as this project embeds them, and are not charged for the cutting.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import passage_id
from rag.catalog import embedded_text
from rag.chunks import chunk_document
from rag.documents import read_document
from rag.embeddings import Encoder
from rag.evaluation.questions import read_questions
from rag.folder import list_files
from rag.settings import Settings


@dataclass(frozen=True, slots=True)
class Question:
    """One question. `right` holds the units (passages or files) that answer it; empty: the files don't say."""

    text: str
    answers: tuple[str, ...] = ()  # empty: the files don't say, or only the search is measured
    right: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of a file. `text` is what is embedded: title and heading stand in front of it."""

    id: str
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Collection:
    """Files and questions. What a search finds counts by passage, or by file where a file is the unit that is right."""

    name: str
    documents: Path
    passages: tuple[Passage, ...]
    questions: tuple[Question, ...]
    by_file: bool
    graded: bool = False  # many files are right for one question: nDCG says more than the first
    expressions: bool = False  # the answers are regular expressions


def cut(documents: Path, encoder: Encoder) -> tuple[Passage, ...]:
    """The passages of a folder's files, as this project cuts them. Raises Unreadable for a file that can't be read."""
    limits = Settings.load()
    passages: list[Passage] = []
    for file in list_files(documents, documents / "index")[0]:
        document = read_document(documents, file, int(limits.max_file_mb * 2**20))
        chunks = chunk_document(document, encoder.tokenize, limits.chunk_tokens)
        passages += [Passage(passage_id(chunk.source, chunk.start), chunk.source, embedded_text(chunk)) for chunk in chunks]
    return tuple(passages)


def seeds(documents: Path, questions: Path, encoder: Encoder) -> Collection:
    """A folder of documents and a file of questions as `rag eval` reads it; right is a passage of a named file with an answer."""
    passages = cut(documents, encoder)
    asked = []
    for one in read_questions(questions)[0]:
        patterns = [re.compile(answer, re.IGNORECASE) for answer in one.answers]
        right = frozenset(
            passage.id
            for passage in passages
            if passage.source.startswith(one.files or ("",)) and any(pattern.search(passage.text) for pattern in patterns)
        )
        asked.append(Question(one.text, one.answers, right))
    return Collection("seeds", documents, passages, tuple(asked), by_file=False, expressions=True)


def xquad(file: Path, folder: Path, encoder: Encoder, limit: int | None = None) -> Collection:
    """A file in SQuAD's format, each paragraph a document; right is the paragraph that the question was asked about."""
    folder.mkdir(parents=True)
    paragraphs = [one for article in json.loads(file.read_text(encoding="utf-8"))["data"] for one in article["paragraphs"]]
    asked: list[Question] = []
    for number, paragraph in enumerate(paragraphs[:limit]):
        name = f"{number:03}.txt"
        (folder / name).write_text(paragraph["context"] + "\n", encoding="utf-8")
        for one in paragraph["qas"]:
            answers = tuple(dict.fromkeys(answer["text"] for answer in one["answers"]))
            asked.append(Question(one["question"], answers, frozenset([name])))
    return Collection("xquad-en", folder, cut(folder, encoder), tuple(asked), by_file=True)


def cranfield(source: Path, folder: Path, encoder: Encoder, limit: int | None = None) -> Collection:
    """Abstracts, queries and judgments in the files that the collection comes in; right are the abstracts judged relevant."""
    folder.mkdir(parents=True)
    kept = [record for record in _records(source / "documents.jsonl") if record["text"].strip()][:limit]  # two are empty
    for record in kept:
        (folder / f"{record['id']}.txt").write_text(record["text"] + "\n", encoding="utf-8")
    names = {record["id"] for record in kept}
    right: dict[str, set[str]] = {}
    for line in (source / "qrels.txt").read_text(encoding="utf-8").split("\n"):
        if line.strip():
            query, _, document, grade = line.split()
            if int(grade) > 0 and document in names:
                right.setdefault(query, set()).add(f"{document}.txt")
    queries = _records(source / "queries.jsonl")
    asked = [Question(one["text"], right=frozenset(right[one["id"]])) for one in queries if one["id"] in right]
    return Collection("cranfield", folder, cut(folder, encoder), tuple(asked), by_file=True, graded=True)


def write_passages(passages: Sequence[Passage], file: Path) -> None:
    """Keep passages for the systems that don't cut the files themselves."""
    lines = (json.dumps({"id": passage.id, "text": passage.text}) for passage in passages)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _records(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]
