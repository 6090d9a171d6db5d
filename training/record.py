"""Write tests/data/recorded_answers.json from the shipped weights: python -m training.record

Run it after new weights were accepted, and read what changed: the recorded answers are what a user gets.
"""

import json
import tempfile
from pathlib import Path

from rag import Assistant, build_index

ROOT = Path(__file__).parents[1]
QUESTIONS = [
    "How much has Amazon invested in Anthropic?",
    "Who is the CEO of AWS?",
    "Where did Jensen Huang make his remark about AWS?",
    "How much did Microsoft invest in OpenAI?",
    "When were Trainium2 and Graviton4 unveiled?",
    "What performance is expected from Trainium 3?",
    "By when does AWS claim it will be carbon neutral?",
    "How many data centres are planned in Indiana at first?",
    "What is the boiling point of ethanol?",
    "How do I reset my router?",
]


def main() -> None:
    """Ask the questions over seeds/ and write what was answered."""
    with tempfile.TemporaryDirectory() as folder:
        build_index(ROOT / "seeds", Path(folder, "index"))
        with Assistant.open(index=Path(folder, "index")) as assistant:
            answers = [assistant.ask(question) for question in QUESTIONS]
    recorded = [
        {
            "question": answer.question,
            "answered": answer.answered,
            "short": answer.short,
            "quote": answer.quotes[0].text if answer.quotes else None,
            "confidence": round(answer.confidence, 3),
        }
        for answer in answers
    ]
    path = ROOT / "tests" / "data" / "recorded_answers.json"
    path.write_text(json.dumps(recorded, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    for row in recorded:
        print(f"{row['confidence']:.2f}  {row['question']}  →  {row['short'] or row['quote']}")


if __name__ == "__main__":
    main()
