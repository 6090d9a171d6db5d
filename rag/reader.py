"""Question + hits → spans. A reader says where the answer stands and how sure it is; it never writes text."""

from collections.abc import Sequence
from typing import Protocol

from rag.types import Hit, Span


class Reader(Protocol):
    """Finds answers in retrieved passages. `name` is shown with the answer, `threshold` is the probability it answers from."""

    name: str
    threshold: float

    def read(self, question: str, hits: Sequence[Hit]) -> list[Span]:
        """Spans in document offsets, best first, evidence not overlapping."""
        ...
