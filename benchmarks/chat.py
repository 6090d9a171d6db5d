"""How long a person waits in the chat: `python -m benchmarks.chat [--rounds 3]`, with the test requirements and Debian's chromium.

Measured inside the page, from the press of Enter to the first sign that the question was taken, and to the answer.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks.latency import QUESTIONS

WATCH = """() => {
  window.seen = {};
  addEventListener('keydown', (event) => { if (event.key === 'Enter') window.seen = {enter: performance.now()}; }, true);
  const note = (name) => requestAnimationFrame(() => { window.seen[name] ??= performance.now() - window.seen.enter; });
  new MutationObserver(() => {
    const turn = [...document.querySelectorAll('.turn')].at(-1);
    if (turn?.querySelector('.pending')) note('feedback');
    if (turn?.querySelector('.answer')) note('answer');
  }).observe(document.body, {childList: true, subtree: true});
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sources", type=Path, default=Path("seeds"))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "app.py", "--port", "0", "--sources", str(options.sources), "--index", f"{folder}/index"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                address = next(found[0] for line in server.stdout if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
                waited = measure(address, options.rounds)
            finally:
                server.terminate()
    print(json.dumps({name: summary([one[name] for one in waited]) for name in ("feedback", "answer")}, indent=2))


def measure(address: str, rounds: int) -> list[dict[str, float]]:
    """Milliseconds to the first sign and to the answer, for every question; the first round is not counted."""
    waited = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.goto(address)
        page.locator(".welcome h1").wait_for()
        page.evaluate(WATCH)
        for number in range(rounds + 1):
            for question in QUESTIONS:
                page.get_by_role("button", name="New", exact=True).click()  # nothing that leans on the question before
                page.get_by_role("textbox", name="Your question").fill(question)
                page.keyboard.press("Enter")
                page.wait_for_function("window.seen.feedback !== undefined && window.seen.answer !== undefined")
                if number:
                    waited.append(page.evaluate("window.seen"))
        browser.close()
    return waited


def summary(milliseconds: list[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    ordered = sorted(milliseconds)
    return {
        "median_ms": round(statistics.median(ordered)),
        "p95_ms": round(ordered[int(0.95 * len(ordered))]),
        "questions": len(ordered),
    }


if __name__ == "__main__":
    main()
