"""The chat: a page that shows Answers, and nothing else. Answering is `rag.assistant`, markup is `rag.render`.

    python app.py [--index DIR] [--sources DIR] [--host 127.0.0.1] [--port N]

Brings the index up to date, then serves on loopback only. The page is one HTML component that holds the conversation, not a
Markdown one: a quote is data, and so is a question. Programs call the same server as `/answer` (`gradio_client`).
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.catalog import Catalog
from rag.errors import IndexMissing, InputError, RagError
from rag.render import answer_html, escape, notice_html, turn_html
from rag.serving import LocalOnly, free_port, is_loopback, stay_offline

if TYPE_CHECKING:
    import gradio as gr

    from rag.assistant import Assistant

HERE = Path(__file__).parent
SHOWN_SKIPS = 10  # `rag status` lists all

# Each question is offered only where the file that answers it is indexed.
EXAMPLES = {
    "003_e600a97b08ae6589.txt": "How much has Amazon invested in Anthropic?",
    "000_99ce329eb7de0c16.txt": "Who is the CEO of AWS?",
    "004_fb0b073f51697533.txt": "What is Trainium2 designed for?",
}

TOP = '<header class="top"><span class="name">Folio</span><span class="where">offline, on this machine</span></header>'
# What the page does by itself. A question leaves its box at once, so that the next one can be typed (Gradio reads the box some
# moments after Enter, when it may hold more); an example asks itself; "Copy" takes a quote with its place. What is new stands
# at the top; where there is a keyboard one can type on, and on a phone the answer is not covered by one.
BEHAVIOUR = """
const box = () => document.querySelector('#question textarea');
const send = (event) => {
  event.preventDefault();
  event.stopPropagation();
  const question = box().value;
  if (!question.trim()) return;
  box().value = '';
  box().dispatchEvent(new Event('input', {bubbles: true}));
  trigger('click', {question});
};
document.addEventListener('keydown', (event) => {
  if (event.target === box() && event.key === 'Enter' && !event.shiftKey && !event.isComposing) send(event);
}, true);
document.addEventListener('click', (event) => {
  if (event.target.closest('#question button')) send(event);
}, true);
element.addEventListener('click', async (event) => {
  const button = event.target.closest('button');
  if (button?.classList.contains('example')) trigger('click', {question: button.textContent});
  if (!button?.classList.contains('copy')) return;
  const figure = button.closest('figure');
  const place = figure.querySelector('.place').textContent.replace(/ (?=(page|lines?) )/, ', ');
  await navigator.clipboard.writeText(`“${figure.querySelector('blockquote').textContent}” — ${place}`);
  button.textContent = 'Copied';
  setTimeout(() => { button.textContent = 'Copy'; }, 1600);
});
watch('value', () => {
  const turn = element.querySelector('.turn:last-of-type');
  if (!turn) return;
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  turn.scrollIntoView({block: 'start', behavior: calm ? 'auto' : 'smooth'});
  if (matchMedia('(pointer: fine)').matches) box().focus({preventScroll: true}); else box().blur();
});
"""
# Gradio's send button is an icon without a name.
NAME_BUTTON = "() => document.querySelector('#question button')?.setAttribute('aria-label', 'Ask')"

Turn = tuple[str, str | None]  # a question and the HTML said to it; None while it is being answered


def page(assistant: "Assistant") -> "gr.Blocks":
    """The chat over an open assistant."""
    import gradio as gr
    from gradio.events import api

    from rag.assistant import LONGEST_QUESTION

    def greet() -> str:
        return thread_html([], assistant)

    def ask(turns: list[Turn], event: gr.EventData) -> Iterator[tuple[str, list[Turn]]]:
        question = str(event._data["question"])
        waiting: list[Turn] = [*turns, (question, None)]
        yield thread_html(waiting, assistant), waiting
        done: list[Turn] = [*turns, (question, said(question, assistant))]
        yield thread_html(done, assistant), done

    def give_up(turns: list[Turn]) -> tuple[str, list[Turn]]:
        failed = notice_html("That went wrong; the terminal that runs Folio says why. Ask again, or restart it.")
        turns = [(question, body or failed) for question, body in turns]
        return thread_html(turns, assistant), turns

    def answer(question: str, files: list[str] | None = None) -> dict[str, Any]:
        """Answer a question from the files, all or those named; returns the Answer as JSON."""
        try:
            return assistant.ask(question, files or None).model_dump(mode="json")
        except RagError as error:
            raise gr.Error(str(error), print_exception=False) from error

    blocks: gr.Blocks
    with gr.Blocks(title="Folio", analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(TOP, elem_id="top", apply_default_css=False)
        thread = gr.HTML(elem_id="thread", apply_default_css=False, js_on_load=BEHAVIOUR)
        with gr.Row(elem_id="composer"):
            gr.Textbox(
                label="Your question",
                placeholder="Ask your files",
                show_label=False,
                container=False,
                lines=1,
                max_lines=6,
                max_length=LONGEST_QUESTION,
                autofocus=True,
                submit_btn=True,
                elem_id="question",
            )
        turns = gr.State([])
        # Questions asked while one is being answered wait their turn.
        private: Any = {"api_visibility": "private", "show_progress": "hidden", "trigger_mode": "multiple"}
        blocks.load(greet, outputs=thread, **private)
        blocks.load(None, js=NAME_BUTTON, **private)
        asked = thread.click(ask, turns, [thread, turns], **private)
        asked.failure(give_up, turns, [thread, turns], **private)
        api(answer, api_name="answer", api_description="Answer a question from the files, with verified quotes.")
    return blocks


def said(question: str, assistant: "Assistant") -> str:
    """What the assistant says to a question, as HTML; a foreseen failure is a sentence with its remedy."""
    try:
        return answer_html(assistant.ask(question))
    except RagError as error:
        return notice_html(sentence(error))


def thread_html(turns: Sequence[Turn], assistant: "Assistant") -> str:
    """The conversation, or before the first question what this is and over which files; screen readers read what is added."""
    pending = notice_html("Reading the files …", "pending")
    content = "".join(turn_html(question, body or pending) for question, body in turns) or welcome_html(assistant)
    return f'<div class="thread" role="log" aria-live="polite" aria-label="Answers">{content}</div>'


def welcome_html(assistant: "Assistant") -> str:
    """The page before the first question: name, one line, examples that the indexed files answer."""
    try:
        with Catalog.open(assistant.settings.index) as catalog:
            files = catalog.files()
    except RagError as error:
        return f'<div class="welcome"><h1>Folio</h1>{notice_html(sentence(error))}</div>'
    folder = f"<strong>{escape(assistant.sources.name or str(assistant.sources))}</strong>"
    if not files:
        line = f"No file in {folder} is indexed yet. Put documents there and run <code>rag build</code>."
    else:
        count = f"the {len(files)} files" if len(files) > 1 else "the one file"
        line = f"Ask {count} in {folder}. Every answer is quoted from them, and every quote is checked."
    examples = "".join(
        f'<li><button type="button" class="example">{escape(question)}</button></li>'
        for source, question in EXAMPLES.items()
        if source in files
    )
    listed = f'<ul class="examples" aria-label="Example questions">{examples}</ul>' if examples else ""
    return f'<div class="welcome"><h1>Folio</h1><p>{line}</p>{listed}</div>'


def sentence(error: RagError) -> str:
    """An error's message as a sentence."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?', '!')) else '.'}"


def serve(assistant: "Assistant", host: str, port: int) -> "gr.Blocks":
    """Serve the chat in the background on a loopback address; returns the running page."""
    stay_offline()
    import gradio as gr
    from starlette.middleware import Middleware

    font = gr.themes.Font
    blocks = page(assistant)
    blocks.launch(
        server_name=f"[{host}]" if ":" in host else host,
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        ssr_mode=False,
        mcp_server=False,
        run_history=False,
        enable_monitoring=False,
        pwa=False,
        inbrowser=False,
        footer_links=[],
        theme=gr.themes.Base(font=[font("system-ui"), font("sans-serif")], font_mono=[font("monospace")]),  # no web fonts
        css_paths=[HERE / "app.css"],
        favicon_path=HERE / "app.svg",
        head='<meta name="color-scheme" content="light dark">',
        app_kwargs={"middleware": [Middleware(LocalOnly)]},
    )
    return blocks


def run(arguments: Sequence[str] | None = None) -> None:
    """Build what is out of date, then chat until interrupted. Raises RagError."""
    parser = argparse.ArgumentParser(prog="app.py", description="Chat with your own files: every answer is quoted from them.")
    parser.add_argument("--index", type=Path, metavar="DIR", help="folder of the index (default: ./index)")
    parser.add_argument("--sources", type=Path, metavar="DIR", help="folder of documents (default: the index's own, else ./seeds)")
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to serve on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, metavar="N", help="port (default: the first free one from 7860; 0: any free one)")
    options = parser.parse_args(arguments)
    if not is_loopback(options.host):
        raise InputError(
            f"host '{options.host}' is open to other machines, and there is no sign-in yet; use 127.0.0.1 (the default)"
        )
    port = free_port(options.host, options.port)
    stay_offline()

    from rag.assistant import Assistant
    from rag.cli import progress_bar, report_text
    from rag.index import build_index
    from rag.settings import Settings

    settings = Settings.load(index=options.index, sources=options.sources)
    with progress_bar() as tell:
        report = build_index(settings=settings, progress=tell)
    if report.added or report.changed or report.removed or report.skipped:
        lines = report_text(report).split("\n")
        skipped = [line for line in lines[:-2] if line.startswith("!")]
        print("\n".join([*skipped[:SHOWN_SKIPS], *lines[-2:]]), flush=True)
    with Assistant.open(settings) as assistant:
        assistant.encoder.encode(["a first question is slower"])  # loads the weights
        blocks = serve(assistant, options.host, port)
        print(f"\nFolio is at {str(blocks.local_url).rstrip('/')} (Ctrl+C ends it)", flush=True)
        blocks.block_thread()


def main() -> None:
    """Run the chat; a foreseen failure is one line on standard error, with the exit codes of `rag`."""
    try:
        run()
    except (InputError, IndexMissing) as error:
        print(f"app.py: {error}", file=sys.stderr)
        sys.exit(2)
    except RagError as error:
        print(f"app.py: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
