"""How well follow-up questions are understood: `python -m benchmarks.followup [--index DIR] [--show]`.

Replays tests/data/conversations.jsonl with the real assistant. Of each follow-up: is the right passage retrieved first when it
is completed, when it is asked as it was typed (the floor), and when a person rewrites it (the ceiling); and is the assistant's
first quote right? Of each question that stands alone: does it come back unchanged?
"""

import argparse
import json
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag import Answer, Assistant, build_index

ROOT = Path(__file__).resolve().parents[1]
CONVERSATIONS = ROOT / "tests" / "data" / "conversations.jsonl"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one follow-up, or of one question that stands alone."""

    split: str
    before: str  # the question before, as it was understood
    question: str
    understood: str
    gold: str = ""  # how a person completes it; "" for a question that stands alone
    completed: bool = False  # the right passage comes first for the completed question
    typed: bool = False  # for the question as it was typed
    rewritten: bool = False  # for the person's
    quoted: bool = False  # the assistant's first quote is right; False where it was not asked


def conversations() -> list[dict[str, Any]]:
    """The recorded conversations: `split` and `turns`; a turn with `alone` or `gold` is measured."""
    return [json.loads(line) for line in CONVERSATIONS.read_text(encoding="utf-8").splitlines()]


def replay(assistant: Assistant, recorded: Iterable[Mapping[str, Any]], *, quotes: bool = True) -> list[Outcome]:
    """Have each conversation with the assistant, every turn with the answers before it.

    Without `quotes` nothing is read that no later turn follows up, and `Outcome.quoted` says nothing.
    """
    answers: dict[str, Answer] = {}
    outcomes: list[Outcome] = []

    def asked(question: str) -> Answer:
        if question not in answers:
            answers[question] = assistant.ask(question)
        return answers[question]

    for conversation in recorded:
        history: list[Answer] = []
        for turn in conversation["turns"]:
            understood = assistant.understood(turn["q"], history)
            before = history[-1].understood or history[-1].question if history else ""
            if "gold" in turn:
                first = asked(understood).quotes[:1] if quotes else ()
                outcomes.append(
                    Outcome(
                        conversation["split"],
                        before,
                        turn["q"],
                        understood,
                        turn["gold"],
                        completed=_first_is_right(assistant, understood, turn),
                        typed=_first_is_right(assistant, turn["q"], turn),
                        rewritten=_first_is_right(assistant, turn["gold"], turn),
                        quoted=any(_is_right(quote.source, quote.text, turn) for quote in first),
                    )
                )
            elif turn.get("alone"):
                outcomes.append(Outcome(conversation["split"], before, turn["q"], understood))
            if turn is not conversation["turns"][-1]:
                told = {"question": turn["q"], "understood": understood if understood != turn["q"] else ""}
                history.append(asked(understood).model_copy(update=told))
    return outcomes


def _first_is_right(assistant: Assistant, question: str, turn: Mapping[str, Any]) -> bool:
    first = assistant.search(question, limit=1)[0].chunk
    return _is_right(first.source, first.text, turn)


def _is_right(source: str, text: str, turn: Mapping[str, Any]) -> bool:
    return source.startswith(tuple(turn["files"])) and re.search(turn["answer"], text) is not None


def share(outcomes: Sequence[Outcome], what: str) -> float:
    """Share of the follow-ups of which `what` holds: "completed", "typed", "rewritten" or "quoted"."""
    follow_ups = [outcome for outcome in outcomes if outcome.gold]
    return sum(bool(getattr(outcome, what)) for outcome in follow_ups) / len(follow_ups)


def as_good_as_rewritten(outcomes: Sequence[Outcome]) -> float:
    """Share of the follow-ups that a person's rewrite gets the right passage for, of which the completion gets it too.

    What is lost by understanding, apart from what retrieval loses anyway.
    """
    return share([outcome for outcome in outcomes if outcome.rewritten], "completed")


def unchanged(outcomes: Sequence[Outcome]) -> float:
    """Share of the questions that stand alone which come back as they were typed."""
    alone = [outcome for outcome in outcomes if not outcome.gold]
    return sum(outcome.understood == outcome.question for outcome in alone) / len(alone)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, help="an index over seeds/; default: one is built")
    parser.add_argument("--show", action="store_true", help="list what was missed: before | typed | understood | a person's")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        index = options.index or Path(folder) / "index"
        if options.index is None:
            build_index(ROOT / "seeds", index)
        with Assistant.open(index=index) as assistant:
            outcomes = replay(assistant, conversations())
    for split in sorted({outcome.split for outcome in outcomes}):
        some = [outcome for outcome in outcomes if outcome.split == split]
        follow_ups = sum(bool(outcome.gold) for outcome in some)
        figures = [f"{what} {100 * share(some, what):.1f} %" for what in ("completed", "typed", "rewritten", "quoted")]
        print(f"{split}: of {follow_ups} follow-ups {', '.join(figures)}", end="; ")
        print(f"completed where rewritten is right {100 * as_good_as_rewritten(some):.1f} %", end="; ")
        print(f"of {len(some) - follow_ups} that stand alone unchanged {100 * unchanged(some):.1f} %")
    for outcome in outcomes if options.show else ():
        if not outcome.completed and (outcome.gold or outcome.understood != outcome.question):
            print(f"{outcome.before} | {outcome.question} | {outcome.understood} | {outcome.gold or 'stands alone'}")


if __name__ == "__main__":
    main()
