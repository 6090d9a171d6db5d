"""How well follow-up questions are understood: `python -m benchmarks.followup [--index DIR] [--show] [--split development]`.

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
    gold: str  # how a person completes it; "" for a question that stands alone
    completed: bool  # the right passage comes first for the completed question
    typed: bool  # for the question as it was typed
    rewritten: bool  # for the person's
    quoted: bool  # the assistant's first quote is right


def conversations() -> list[dict[str, Any]]:
    """The recorded conversations: `split` and `turns`; a turn with `alone` or `gold` is measured."""
    return [json.loads(line) for line in CONVERSATIONS.read_text(encoding="utf-8").splitlines()]


def replay(assistant: Assistant, recorded: Iterable[Mapping[str, Any]]) -> list[Outcome]:
    """Have each conversation with the assistant, every turn with the answers before it."""
    outcomes: list[Outcome] = []
    for conversation in recorded:
        history: list[Answer] = []
        for turn in conversation["turns"]:
            answer = assistant.ask(turn["q"], history=history)
            understood = answer.understood or turn["q"]
            if "gold" in turn:
                outcomes.append(
                    Outcome(
                        conversation["split"],
                        history[-1].understood or history[-1].question,
                        turn["q"],
                        understood,
                        turn["gold"],
                        completed=_first_is_right(assistant, understood, turn),
                        typed=_first_is_right(assistant, turn["q"], turn),
                        rewritten=_first_is_right(assistant, turn["gold"], turn),
                        quoted=bool(answer.quotes) and _right(answer.quotes[0].source, answer.quotes[0].text, turn),
                    )
                )
            elif turn.get("alone"):
                before = history[-1].understood or history[-1].question
                outcomes.append(Outcome(conversation["split"], before, turn["q"], understood, "", False, False, False, False))
            history.append(answer)
    return outcomes


def _first_is_right(assistant: Assistant, question: str, turn: Mapping[str, Any]) -> bool:
    first = assistant.search(question, limit=1)[0].chunk
    return _right(first.source, first.text, turn)


def _right(source: str, text: str, turn: Mapping[str, Any]) -> bool:
    return source.startswith(tuple(turn["files"])) and re.search(turn["answer"], text) is not None


def shares(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Share of follow-ups with the right passage first (completed, typed, rewritten) or quoted first; share left unchanged."""
    follow_ups = [outcome for outcome in outcomes if outcome.gold]
    alone = [outcome for outcome in outcomes if not outcome.gold]
    measured = {
        name: sum(getattr(outcome, name) for outcome in follow_ups) / len(follow_ups)
        for name in ("completed", "typed", "rewritten", "quoted")
    }
    return measured | {"unchanged": sum(outcome.understood == outcome.question for outcome in alone) / len(alone)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, help="an index over seeds/; default: one is built")
    parser.add_argument("--split", help="development or held-out; default: both")
    parser.add_argument("--show", action="store_true", help="list what was missed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        index = options.index or Path(folder) / "index"
        if options.index is None:
            build_index(ROOT / "seeds", index)
        with Assistant.open(index=index) as assistant:
            outcomes = replay(assistant, [one for one in conversations() if options.split in (None, one["split"])])
    for split in sorted({outcome.split for outcome in outcomes}):
        some = [outcome for outcome in outcomes if outcome.split == split]
        follow_ups = sum(bool(outcome.gold) for outcome in some)
        figures = ", ".join(f"{name} {100 * share:.1f} %" for name, share in shares(some).items())
        print(f"{split}: {follow_ups} follow-ups, {len(some) - follow_ups} that stand alone: {figures}")
    for outcome in outcomes if options.show else ():
        if (outcome.gold and not outcome.completed) or (not outcome.gold and outcome.understood != outcome.question):
            print(f"{outcome.before} | {outcome.question} | {outcome.understood} | {outcome.gold or 'stands alone'}")


if __name__ == "__main__":
    main()
