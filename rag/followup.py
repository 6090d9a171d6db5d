"""A question of a conversation → one that stands alone."""

from collections.abc import Sequence

from rag.types import Answer


def complete(question: str, history: Sequence[Answer]) -> str:
    """The question as it reads without the conversation before it; the question itself when it stands alone."""
    del history
    return question
