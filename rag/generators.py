"""Who writes: a language model in this process (transformers), or one behind a local endpoint (OpenAI's protocol).

Both turn a prompt into pieces of text as they are written, and know nothing of quotes: what a model writes is a claim that
`rag.generative` checks. Writing runs in a thread of its own, so that whoever reads can stop at any moment: between pieces
comes "" several times a second. Closing the iterator ends the writing.
"""

import codecs
import http.client
import ipaddress
import json
import os
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from rag.errors import ModelError

if TYPE_CHECKING:
    from rag.copying import Vocabulary
    from rag.settings import Settings

HEARTBEAT = 0.1  # seconds between two pieces, at most; the text of one may be ""
CONNECT = 5.0  # seconds to reach an endpoint
LONGEST_TOKEN = 16  # characters; an endpoint that sends more than the wanted tokens can hold is cut off
LONGEST_LINE = 1 << 20  # bytes of one event of an endpoint
LONGEST_REASON = 200  # characters of what an endpoint says of an error
# What chat formats frame turns with. A passage that holds it is shown with an invisible character inside it.
FRAME = re.compile(
    r"<(?=[|｜]|/?(?:s|start_of_turn|end_of_turn|think|tool_call|im_start|im_end)>)|\[(?=/?(?:INST|SYSTEM_PROMPT)\])"
)
HUB_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?")

Pieces = Generator[str, None, None]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be written, and how: `temperature` 0 always takes the likeliest token."""

    tokens: int
    seconds: float
    temperature: float = 0.0
    seed: int = 0


class Writer(Protocol):
    """Writes text for a prompt. `name` is shown with the answer; `context` is how many tokens prompt and answer may have."""

    name: str
    context: int

    def count(self, prompt: str) -> int:
        """Tokens of the prompt as the model reads it, with all that frames it; never too few."""
        ...

    def write(self, prompt: str, passages: Sequence[str], limits: Limits) -> Pieces:
        """Pieces of the answer as they are written, "" while there is none; closing the iterator ends the writing.

        `passages` are the texts that citations `[n "…"]` may quote, in order, for a model that can be held to them. Raises
        ModelError when the model cannot be reached or fails.
        """
        ...


def open_writer(settings: "Settings") -> Writer:
    """The model that `settings.generator` names: a folder, the address of an endpoint (`http://host:port/v1#model`), or a
    name on the Hub, which is asked only for what has not been fetched before. Raises ModelError with the remedy.
    """
    name = settings.generator or ""
    if re.match(r"https?://", name):
        return Endpoint.at(name, context=settings.generator_context, remote=settings.generator_remote)
    return LocalModel.load(name, context=settings.generator_context, threads=settings.threads)


class LocalModel:
    """A causal language model of transformers in this process, held to the passages while it quotes."""

    def __init__(self, name: str, model: Any, tokenizer: Any, vocabulary: "Vocabulary", context: int) -> None:
        self.name = name
        self.model = model
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary
        self.context = context
        self.constrained = True  # off only to measure what the constraint does
        self._spelling = threading.Lock()  # a tokenizer keeps between calls whether it reads control tokens
        self._turn = threading.Lock()  # a model writes one text at a time, also when the one before has just been stopped

    @classmethod
    def load(cls, name: str, *, context: int, threads: int | None = None) -> "LocalModel":
        """From a folder, or by its name on the Hub; safetensors only, and no code of the model's own is run.

        On a GPU in bf16 (spread over GPU and memory where accelerate is installed), on a CPU in bf16 where it multiplies that
        natively, else in fp32. Raises ModelError.
        """
        folder = Path(name).expanduser()
        if not folder.is_dir() and (not HUB_NAME.fullmatch(name) or name.startswith(".")):
            raise ModelError(f"generator '{name}' is no folder; name the folder of a model, its name on the Hub or an endpoint")
        source, shown = (str(folder), folder.resolve().name) if folder.is_dir() else (name, name)
        tokenizer, model = _loaded(source, shown, local=folder.is_dir())
        from rag.copying import Vocabulary, token_bytes

        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        longest = getattr(model.config.get_text_config(), "max_position_embeddings", None) or context
        opened = cls(shown, model, tokenizer, Vocabulary(token_bytes(tokenizer)), min(context, longest))
        try:
            opened.count("")
        except Exception as error:  # a chat format is a program, and may raise anything
            why = " ".join(str(error).split())[:LONGEST_REASON]
            raise ModelError(f"the chat format of '{shown}' cannot be used ({why}); name another model") from error
        return opened

    def count(self, prompt: str) -> int:
        return len(self._ids(prompt))

    def write(self, prompt: str, passages: Sequence[str], limits: Limits) -> Pieces:
        import torch

        ids = torch.tensor([self._ids(prompt)], device=self.model.device)
        halt = threading.Event()

        def work(tell: Callable[[str], None]) -> None:
            with self._turn:
                if not halt.is_set():
                    self._generate(ids, passages, limits, halt, tell)

        return _pieces(work, limits.seconds, halt.set)

    def _ids(self, prompt: str) -> list[int]:
        """The prompt in the model's chat format. Only the format is read for control tokens: a document that spells one out is
        read as text, so nothing in it can end its turn.
        """
        mark = "\ue000"  # for private use: in no template, and not in what surrounds the prompt
        turns = [{"role": "user", "content": mark}]
        if getattr(self.tokenizer, "chat_template", None):
            framed = self.tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )  # of the models that think aloud first, most can be told not to
        else:
            framed = f"{self.tokenizer.bos_token or ''}{mark}\n\nAnswer: "
        before, _, after = framed.partition(mark)
        ids: list[int] = []
        with self._spelling:
            for text, plain in ((before, False), (prompt, True), (after, False)):
                ids += self.tokenizer(text, add_special_tokens=False, split_special_tokens=plain)["input_ids"]
        return ids

    def _generate(
        self, ids: Any, passages: Sequence[str], limits: Limits, halt: threading.Event, tell: Callable[[str], None]
    ) -> None:
        import torch
        import transformers

        from rag.copying import CopyConstraint

        ends = self._ends()
        settings: Any = transformers.GenerationConfig
        sampling = {"temperature": limits.temperature, "top_k": 0, "top_p": 1.0} if limits.temperature > 0 else {}
        config = settings(
            max_new_tokens=limits.tokens,
            do_sample=limits.temperature > 0,
            repetition_penalty=1.0,  # a quote repeats its passage
            eos_token_id=ends,
            pad_token_id=ends[0] if ends else 0,
            **sampling,
        )
        spelling = _Spelling(self.vocabulary, tell)
        constraint = [CopyConstraint(self.vocabulary, passages, ends)] if self.constrained else []
        with torch.inference_mode(), torch.random.fork_rng(enabled=limits.temperature > 0):
            if limits.temperature > 0:
                torch.manual_seed(limits.seed)
            try:
                self.model.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    generation_config=config,
                    logits_processor=constraint,
                    stopping_criteria=[lambda tokens, scores: torch.full((1,), halt.is_set(), device=tokens.device)],
                    streamer=spelling,
                )
            except RuntimeError as error:  # mostly: out of memory
                why = " ".join(str(error).split())[:LONGEST_REASON]
                raise ModelError(f"the model '{self.name}' failed while writing ({why}); try a smaller one") from error

    def _ends(self) -> list[int]:
        """The tokens that end a turn."""
        ends = self.model.generation_config.eos_token_id
        known = [ends] if isinstance(ends, int) else list(ends or ())
        own = self.tokenizer.eos_token_id
        return list(dict.fromkeys([*known, *([own] if own is not None else [])]))


class _Spelling:
    """Tokens from `generate` → text: what their bytes spell, so that it is exactly what the copy constraint has seen."""

    def __init__(self, vocabulary: "Vocabulary", tell: Callable[[str], None]) -> None:
        self.tokens = vocabulary.tokens
        self.tell = tell
        self.decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self.prompt = True

    def put(self, ids: Any) -> None:
        if self.prompt:  # comes first, whole
            self.prompt = False
            return
        for token in ids.reshape(-1).tolist():
            self.tell(self.decode((token < len(self.tokens) and self.tokens[token]) or b""))

    def end(self) -> None:
        self.tell(self.decode(b"", True))


def _loaded(source: str, shown: str, *, local: bool) -> tuple[Any, Any]:
    """Tokenizer and model. What has been fetched from the Hub before is not asked for again."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import torch
    import transformers

    from rag.bert import has_bf16

    library: Any = transformers  # hardly typed
    library.utils.logging.disable_progress_bar()
    library.utils.logging.set_verbosity_error()
    gpu = torch.cuda.is_available()
    options: dict[str, Any] = {"trust_remote_code": False, "use_safetensors": True}
    options["dtype"] = torch.bfloat16 if gpu or has_bf16() else torch.float32
    if gpu and library.utils.is_accelerate_available():
        options["device_map"] = "auto"
    for offline in (True,) if local else (True, False):
        try:
            tokenizer = library.AutoTokenizer.from_pretrained(source, trust_remote_code=False, local_files_only=offline)
            model = library.AutoModelForCausalLM.from_pretrained(source, local_files_only=offline, **options)
            break
        except Exception as error:  # tokenizers raises `Exception` itself, transformers whatever it likes
            if local or not offline:
                why = " ".join(str(error).split())[:LONGEST_REASON]
                needs = "a model's folder holds config.json, tokenizer.json and *.safetensors"
                remedy = needs if local else f"while online, fetch it once: hf download {shown}; or name a folder"
                raise ModelError(f"the model '{shown}' cannot be loaded ({why}); {remedy}") from error
    if gpu and "device_map" not in options:
        model = model.to("cuda")
    return tokenizer, model.eval()


# --- endpoint ---------------------------------------------------------------------------------------------------------


class Endpoint:
    """A model behind OpenAI's chat protocol: Ollama, llama.cpp's server, vLLM. It cannot be held to the passages while it
    writes, so there its quotes are only checked. Plain HTTP without proxy or redirect: the passages go to this address alone.
    """

    def __init__(self, url: str, model: str, context: int) -> None:
        parts = urlsplit(url)
        self.url = url
        self.model = model
        self.name = model
        self.context = context
        self._secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port
        self._path = parts.path.rstrip("/")

    @classmethod
    def at(cls, address: str, *, context: int, remote: bool = False) -> "Endpoint":
        """From `http://127.0.0.1:11434/v1#model`. Raises ModelError for an address that is not one, or not of this machine
        unless `remote` allows that.
        """
        url, _, model = address.partition("#")
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or not model:
            raise ModelError(f"generator '{address}' names no model; write http://127.0.0.1:11434/v1#MODEL")
        if not remote and not _is_loopback(host):
            raise ModelError(
                f"generator '{address}' is another machine, and passages of the files would be sent to it; "
                "set RAG_GENERATOR_REMOTE=1 to allow that, or name one on 127.0.0.1"
            )
        return cls(url, model, context)

    def count(self, prompt: str) -> int:
        """An estimate on the safe side, as the protocol tells no tokens: three bytes each, and some for the frame."""
        return len(_unframed(prompt).encode(errors="replace")) // 3 + 64

    def write(self, prompt: str, passages: Sequence[str], limits: Limits) -> Pieces:
        connection = (http.client.HTTPSConnection if self._secure else http.client.HTTPConnection)(
            self._host, self._port, timeout=CONNECT
        )
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": _unframed(prompt)}],
            "stream": True,
            "max_tokens": limits.tokens,
            "temperature": limits.temperature,
            "seed": limits.seed,
        }
        stopped = threading.Event()

        def work(tell: Callable[[str], None]) -> None:
            with self._talking(stopped), closing(connection):
                connection.connect()
                connection.sock.settimeout(limits.seconds)
                headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
                connection.request("POST", f"{self._path}/chat/completions", json.dumps(body), headers)
                with closing(connection.getresponse()) as response:
                    if response.status != 200:
                        raise ModelError(self._refusal(response))
                    left = limits.tokens * LONGEST_TOKEN
                    for piece in _deltas(response):
                        tell(piece[:left])
                        left -= len(piece)
                        if left <= 0 or stopped.is_set():
                            break

        def halt() -> None:
            stopped.set()
            with suppress(OSError, AttributeError):  # not connected yet, or no longer
                connection.sock.shutdown(socket.SHUT_RDWR)

        return _pieces(work, limits.seconds, halt)

    @contextmanager
    def _talking(self, stopped: threading.Event) -> Iterator[None]:
        """Failures of the connection as sentences; none when we ended it ourselves."""
        try:
            yield
        except ConnectionRefusedError as error:
            raise ModelError(f"no server answers at {self.url}; start it, or leave --generator out") from error
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            if not stopped.is_set():
                why = " ".join(str(error).split())[:LONGEST_REASON] or type(error).__name__
                raise ModelError(f"the server at {self.url} broke off ({why}); ask again, or look at its log") from error

    def _refusal(self, response: http.client.HTTPResponse) -> str:
        said = " ".join(_error_of(response.read(LONGEST_LINE)).split())[:LONGEST_REASON].rstrip(". ")
        if response.status == 404:
            told = f" ({said})" if said else ""
            return f"the server at {self.url} has no model '{self.model}'{told}; fetch it there, or name another after the #"
        return f"the server at {self.url} answered {response.status} ({said or response.reason}); look at its log"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _unframed(text: str) -> str:
    """The text with a word joiner inside whatever a chat format might take for the end of a turn."""
    return FRAME.sub("\\g<0>\u2060", text)


def _deltas(response: http.client.HTTPResponse) -> Iterator[str]:
    """The pieces of text in a reply: a stream of events, or one JSON document from a server that does not stream.

    Raises ValueError for what is neither.
    """
    if "json" in (response.getheader("Content-Type") or ""):
        yield _content(json.loads(response.read(LONGEST_LINE)), "message")
        return
    while line := response.readline(LONGEST_LINE):
        if not line.endswith(b"\n") and len(line) == LONGEST_LINE:
            raise ValueError("a line without end")
        field, _, value = line.partition(b":")
        if field != b"data" or not value.strip():
            continue
        if value.strip() == b"[DONE]":
            return
        event = json.loads(value)
        if isinstance(event, dict) and event.get("error"):
            raise ValueError(_error_of(value))
        yield _content(event, "delta")
    raise ValueError("the stream ended in the middle")


def _content(event: Any, part: str) -> str:
    """The text of an event; "" in one that only tells the role, a reason to stop or the usage."""
    try:
        choices = event["choices"]
        text = choices[0][part].get("content") if choices else None
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError("an event without choices") from error
    if not isinstance(text, str | None):
        raise ValueError("an event whose content is no text")
    return text or ""


def _error_of(body: bytes) -> str:
    """What a server says of an error, in any of the usual shapes; "" when that is not JSON."""
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    said = said.get("error", said) if isinstance(said, dict) else said
    return str(said.get("message", "")) if isinstance(said, dict) else str(said)


# --- both -------------------------------------------------------------------------------------------------------------


def _pieces(work: Callable[[Callable[[str], None]], None], seconds: float, halt: Callable[[], None]) -> Pieces:
    """What `work` tells from a thread of its own, "" while it tells nothing, for so many seconds; raises what it raises.

    `halt` asks the work to end. It is not waited for: a model may be in the middle of a long step.
    """
    told: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    pool = ThreadPoolExecutor(1)
    working = pool.submit(work, told.put)
    working.add_done_callback(lambda _: told.put(None))
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            try:
                piece = told.get(timeout=HEARTBEAT)
            except queue.Empty:
                piece = ""
            if piece is None:
                working.result()
                return
            yield piece
    finally:
        halt()
        pool.shutdown(wait=False)
