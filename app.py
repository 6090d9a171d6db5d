"""The chat: a page that shows Answers, and nothing else. Answering is `rag.assistant`, markup is `rag.render` and
`rag.source_view`, what the page does by itself is `app.js`.

    python app.py [--index DIR] [--sources DIR] [--generator MODEL] [--host 127.0.0.1] [--port N] [--auth]

Brings the index up to date, then serves on loopback, or with a password to other machines. The page is one HTML component:
nothing passes through Markdown, for a quote is data, and so is a question. The conversation is kept by the browser, which
sends what a question needs of it; the server keeps nothing. What programs may call is in `rag.endpoints`.
"""

import argparse
import queue
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, TypeAdapter, ValidationError

from rag.catalog import Catalog
from rag.conversation import Conversation, record_feedback, to_markdown
from rag.errors import IndexMissing, InputError, RagError, Stopped
from rag.library import Library
from rag.quotes import file_state
from rag.render import answer_html, draft_html, notice_html, sentence, stages_text, welcome_html
from rag.serving import PAGES_KEPT, Login, check_host, free_port, guards, is_loopback, read_login, stay_offline
from rag.source_view import documents_html, more_html, report_html, source_html
from rag.suggest import suggest
from rag.types import Answer, BuildReport, Document, Progress, Quote, Skipped, Stage

if TYPE_CHECKING:
    import gradio as gr

    from rag.assistant import Assistant

HERE = Path(__file__).parent
NOT_ENCRYPTED = (
    "The connection is not encrypted: on a network that others share, put a reverse proxy with TLS or an SSH tunnel before it."
)
AUTH_HELP = (
    "ask everyone for a user and a password, from RAG_USER and RAG_PASSWORD or typed at the start (never an argument: others on "
    "this machine could read it). Whoever signs in can ask, add and remove documents. " + NOT_ENCRYPTED
)
SHOWN_SKIPS = 10  # `rag status` lists all
SHOWN_DOCUMENTS = 200  # in the page's list; the search box finds the others

OFFLINE, SENT = "offline, on this machine", "passages are sent to the model's machine"
PAGE = f"""
<header class="top">
  <h1 class="name">Folio</h1><span class="where">{OFFLINE}</span>
  <nav aria-label="Folio">
    <button type="button" data-do="new">New</button>
    <button type="button" data-do="history">History</button>
    <button type="button" data-do="documents">Documents</button>
  </nav>
</header>
<section class="thread" role="log" aria-live="polite" aria-label="Answers"></section>
<form class="composer">
  <ul class="chips" aria-label="Asked in these documents only" hidden></ul>
  <div class="box">
    <textarea rows="1" aria-label="Your question" placeholder="Ask your files"></textarea>
    <button type="submit" aria-label="Ask"></button>
  </div>
</form>
<dialog class="panel">
  <button type="button" class="close" data-do="close" aria-label="Close"></button>
  <div data-part="source" data-label="Source"></div>
  <div data-part="documents" data-label="Documents">
    <header><h2>Documents</h2><p class="count"></p></header>
    <label class="drop"><input type="file" multiple> <span><strong>Choose files</strong> or drop them here</span></label>
    <div class="job" role="status"></div>
    <input type="search" class="search" placeholder="Find a document" aria-label="Find a document" hidden>
    <p class="hint">Tick documents to ask only in them.</p>
    <ul class="entries" aria-label="Documents"></ul>
    <p class="rest"></p>
    <footer>
      <button type="button" class="job-button" data-do="update">Update</button>
      <button type="button" class="job-button" data-do="rebuild">Rebuild everything</button>
    </footer>
  </div>
  <div data-part="history" data-label="History">
    <header><h2>History</h2><p>Kept in this browser only.</p></header>
    <ul class="conversations"></ul>
  </div>
</dialog>
"""


class Asked(BaseModel):
    """A question as the page sends it. `ask` is the page's own number for it."""

    ask: str
    question: str
    files: list[str]  # asked only in these; all when empty
    history: list[Answer]


class Opened(BaseModel):
    """A quote whose file is to be shown; `at`: more of it, up to or from this character."""

    quote: Quote
    at: int | None = None
    earlier: bool = False


class Listing(BaseModel):
    """Which documents to list."""

    search: str
    chosen: list[str]


class Rated(BaseModel):
    """An answer that a person found good, or not."""

    answer: Answer
    good: bool


class Uploaded(BaseModel):
    """A file that the page has transferred: its own name, and where Gradio put it."""

    name: str
    path: Path


class Job(BaseModel):
    """Work on the documents. `job` is the page's own number for it."""

    job: str
    work: Literal["add", "update", "rebuild"]
    files: list[Uploaded] = []


Message = dict[str, Any]  # to the page's script, as JSON


def page(assistant: "Assistant") -> "gr.Blocks":
    """The chat over an open assistant."""
    import gradio as gr
    from gradio.utils import get_upload_folder

    from rag import endpoints
    from rag.assistant import LONGEST_QUESTION

    library = Library(assistant)
    stopped: deque[str] = deque(maxlen=1000)  # questions whose answer is no longer wanted

    def ask(event: gr.EventData) -> Iterator[Message]:
        """Answer a question: its stages as they are done, then the answer, or why there is none."""
        asked = Asked.model_validate(event._data)
        stages: list[Stage] = []

        def work(tell: Callable[[Stage], None]) -> Answer:
            def watch(stage: Stage) -> None:
                if asked.ask in stopped:
                    raise Stopped("stopped")
                tell(stage)

            return assistant.ask(asked.question, asked.files or None, asked.history, watch)

        try:
            for step in steps(work):
                if isinstance(step, Stage):
                    if step in stages[-1:]:  # a model that is writing says so again and again
                        continue
                    stages.append(step)
                    draft = {} if step.answer is None else {"draft": draft_html(step.answer)}
                    yield {"ask": asked.ask, "stages": stages_text(stages), **draft}
                else:
                    yield {"ask": asked.ask, "html": answer_html(step, stages), "answer": step.model_dump(mode="json")}
        except Stopped:
            yield {"ask": asked.ask, "html": notice_html("stopped")}
        except RagError as error:
            yield {"ask": asked.ask, "html": notice_html(str(error))}

    def manage(event: gr.EventData) -> Iterator[Message]:
        """Add files, or build the index: progress, then the report."""
        wanted = Job.model_validate(event._data)

        def work(tell: Callable[[Progress], None]) -> tuple[BuildReport, tuple[Skipped, ...], tuple[str, ...]]:
            if wanted.work != "add":
                return library.rebuild(fresh=wanted.work == "rebuild", progress=tell), (), ()
            check_uploads(wanted.files, Path(get_upload_folder()))
            try:
                added = library.add([(file.name, file.path) for file in wanted.files], progress=tell)
            finally:
                for file in wanted.files:
                    file.path.unlink(missing_ok=True)
            return added.report, added.refused, added.names

        try:
            for step in steps(work):
                if isinstance(step, Progress):
                    yield {"job": wanted.job, "stage": step.stage, "done": step.done, "total": step.total, "source": step.source}
                else:
                    yield {"job": wanted.job, "html": report_html(*step)}
        except RagError as error:
            yield {"job": wanted.job, "html": notice_html(str(error))}

    # What the page's script calls by name; each takes and returns JSON.

    def welcome() -> Message:
        with Catalog.open(assistant.settings.index) as catalog:
            files = catalog.counts()[0]
            folder = assistant.sources
            return {"html": welcome_html(folder.name or str(folder), files, suggest(catalog))}

    def show_source(opened: Opened) -> Message:
        with Catalog.open(assistant.settings.index) as catalog:
            document = catalog.document(opened.quote.source)
        if opened.at is not None:
            return {"html": more_html(opened.quote, document, opened.at, earlier=opened.earlier)}
        state = file_state(assistant.sources, document) if document is not None else "missing"
        return {"html": source_html(opened.quote, document, state)}

    def list_documents(listing: Listing) -> Message:
        entries = library.entries()
        found = [entry for entry in entries if listing.search.casefold() in f"{entry.source}\n{entry.title}".casefold()]
        shown = found[:SHOWN_DOCUMENTS]
        return {
            "html": documents_html(shown, listing.chosen),
            "sources": [entry.source for entry in shown],
            "total": len(entries),
            "found": len(found),
            "passages": sum(entry.passages for entry in entries),
            "folder": assistant.sources.name or str(assistant.sources),
            "stale": any(entry.state in ("changed", "new", "missing") for entry in entries),
        }

    def remove(source: str) -> Message:
        return {"html": report_html(library.remove(source))}

    def open_conversation(conversation: Conversation) -> Message:
        with Catalog.open(assistant.settings.index) as catalog:
            turns = [current(answer, catalog, assistant.sources) for answer in conversation.turns]
        return {"turns": [{"html": answer_html(turn), "answer": turn.model_dump(mode="json")} for turn in turns]}

    def export(conversation: Conversation) -> Message:
        return {"markdown": to_markdown(conversation), "json": conversation.model_dump_json(indent=2)}

    def rate(rated: Rated) -> Message:
        record_feedback(assistant.settings.index, rated.answer, rated.good)
        return {"text": "Thank you. Noted on this machine only."}

    def stop(number: str) -> Message:
        stopped.append(number)
        return {}

    settings = assistant.settings
    blocks: gr.Blocks
    # An upload that nobody took over leaves after an hour.
    with gr.Blocks(title="Folio", analytics_enabled=False, fill_width=True, delete_cache=(3600, 3600)) as blocks:
        chat = gr.HTML(
            html_template=PAGE if not settings.generator_remote else PAGE.replace(OFFLINE, SENT),
            js_on_load=(HERE / "app.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            elem_id="folio",
            server_functions=[
                called(welcome),
                called(stop, str),
                called(remove, str),
                called(show_source, Opened),
                called(list_documents, Listing),
                called(open_conversation, Conversation),
                called(export, Conversation),
                called(rate, Rated),
            ],
            limits={
                "question": LONGEST_QUESTION,
                "files": settings.upload_files,
                "megabytes": settings.upload_mb,
                "file_megabytes": settings.max_file_mb,
            },
        )
        # Progress comes by a component of its own: while files are read, questions are answered.
        jobs = gr.HTML(
            html_template="<i></i>",
            js_on_load="watch('value', () => document.dispatchEvent(new CustomEvent('folio:job', {detail: props.value})))",
            apply_default_css=False,
            elem_id="jobs",
        )
        private: Any = {"api_visibility": "private", "show_progress": "hidden", "trigger_mode": "multiple"}
        asking = chat.ask(ask, None, chat, **private)
        asking.failure(None, js="() => document.dispatchEvent(new CustomEvent('folio:ask-failed'))", **private)
        managing = chat.manage(manage, None, jobs, **private)
        managing.failure(None, js="() => document.dispatchEvent(new CustomEvent('folio:job-failed'))", **private)
        endpoints.add(assistant)
    return blocks


def steps(work: Callable[[Callable[[Any], None]], Any]) -> Iterator[Any]:
    """What `work` tells while it runs in a thread of its own, as it comes, then what it returns; raises what it raises."""
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    finished = object()
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work, told.put)
        working.add_done_callback(lambda _: told.put(finished))
        while (step := told.get()) is not finished:
            yield step
        yield working.result()


def called(function: Callable[..., Message], kind: Any = None) -> Callable[[Any], Message]:
    """A function as the page's script calls it: with JSON of this kind, and a foreseen failure told as a sentence."""

    def call(data: Any) -> Message:
        try:
            return function() if kind is None else function(TypeAdapter(kind).validate_python(data))
        except ValidationError as error:
            return {"problem": f"This was kept by another version of Folio and cannot be used: {error.errors()[0]['msg']}."}
        except RagError as error:
            return {"problem": sentence(str(error))}

    call.__name__ = function.__name__  # under which the script calls it
    return call


def check_uploads(files: Sequence[Uploaded], folder: Path) -> None:
    """Raise InputError unless each file was put into `folder` by an upload: a request could name any file of this machine."""
    for file in files:
        if not (file.path.is_file() and file.path.resolve().is_relative_to(folder.resolve())):
            raise InputError(f"'{file.name}' has not been transferred; choose it again")


def current(answer: Answer, catalog: Catalog, sources: Path) -> Answer:
    """An answer kept from before, with its quotes' states looked up anew."""
    documents: dict[str, Document | None] = {}

    def look(quote: Quote) -> Quote:
        if quote.source not in documents:
            documents[quote.source] = catalog.document(quote.source)
        document = documents[quote.source]
        if document is None:
            state = "removed"
        elif document.sha256 != quote.sha256:
            state = "renewed"
        else:
            state = file_state(sources, document)
        return quote.model_copy(update={"state": state})

    looked = {"quotes": tuple(map(look, answer.quotes)), "nearest": tuple(map(look, answer.nearest))}
    return answer.model_copy(update=looked)


def serve(assistant: "Assistant", host: str, port: int, login: Login | None = None, names: Sequence[str] = ()) -> "gr.Blocks":
    """Serve the chat in the background; returns the running page.

    `login` is asked of everyone; `names` are host names to serve under besides this machine's own.
    """
    stay_offline()
    import gradio as gr

    from rag import endpoints

    font = gr.themes.Font
    blocks = page(assistant)
    programs = endpoints.Endpoints(assistant)
    blocks.launch(
        server_name=f"[{host}]" if ":" in host else host,
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        ssr_mode=False,
        mcp_server=False,  # `programs` has one
        run_history=False,
        state_session_capacity=PAGES_KEPT,
        enable_monitoring=False,
        pwa=False,
        inbrowser=False,
        footer_links=[],
        theme=gr.themes.Base(font=[font("system-ui"), font("sans-serif")], font_mono=[font("monospace")]),  # no web fonts
        favicon_path=HERE / "app.svg",
        max_file_size=int(assistant.settings.max_file_mb * 2**20),
        # Not by css_paths: Gradio rewrites rules on their way and breaks what it does not know, such as :is(a, b).
        head=f'<meta name="color-scheme" content="light dark"><style>{(HERE / "app.css").read_text(encoding="utf-8")}</style>',
        app_kwargs={
            "middleware": guards(blocks, assistant.settings.upload_mb, host, login, names),
            "routes": programs.routes,
            "lifespan": programs.lifespan,
        },
    )
    return blocks


def run(arguments: Sequence[str] | None = None) -> None:
    """Build what is out of date, then chat until interrupted. Raises RagError."""
    parser = argparse.ArgumentParser(prog="app.py", description="Chat with your own files: every answer is quoted from them.")
    parser.add_argument("--index", type=Path, metavar="DIR", help="folder of the index (default: ./index)")
    parser.add_argument("--sources", type=Path, metavar="DIR", help="folder of documents (default: the index's own, else ./seeds)")
    parser.add_argument("--generator", metavar="MODEL", help="who writes answers: a folder, Hub name or endpoint (default: nobody)")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on (default: 127.0.0.1); others need --auth")
    parser.add_argument("--port", type=int, metavar="N", help="port (default: the first free one from 7860; 0: any free one)")
    parser.add_argument("--auth", action="store_true", help=AUTH_HELP)
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="another name to serve under, as behind a reverse proxy"
    )
    options = parser.parse_args(arguments)
    login = read_login(options.auth)
    check_host(options.host, options.allow_host, login)
    port = free_port(options.host, options.port)
    stay_offline()

    from rag.assistant import Assistant
    from rag.index import build_index
    from rag.settings import Settings
    from rag.terminal import progress_bar, report_text

    settings = Settings.load(index=options.index, sources=options.sources, generator=options.generator)
    with progress_bar() as tell:
        report = build_index(settings=settings, progress=tell)
    if report.added or report.changed or report.removed or report.skipped or report.partly:
        lines = report_text(report).split("\n")
        skipped = [line for line in lines[:-2] if line.startswith("!")]
        print("\n".join([*skipped[:SHOWN_SKIPS], *lines[-2:]]), flush=True)
    with Assistant.open(settings) as assistant:
        assistant.encoder.encode(["a first question is slower"])  # loads the weights
        blocks = serve(assistant, options.host, port, login, options.allow_host)
        if not is_loopback(options.host):
            print(f"\nOther machines reach it at http://{gethostname()}:{port}. {NOT_ENCRYPTED}", flush=True)
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
