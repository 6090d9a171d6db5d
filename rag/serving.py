"""Serving: which addresses, which requests are answered and which refused, signing in, and that nothing is asked of the network.

Every request passes `LocalOnly`, `Limits`, with `--auth` `SignIn`, and `WellFormed` before Gradio sees it. Gradio's own sign-in
leaves some of its routes open, so it is not used.
"""

import base64
import binascii
import errno
import getpass
import hmac
import ipaddress
import os
import re
import secrets
import socket
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, StrictInt, StrictStr, ValidationError
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.errors import InputError

if TYPE_CHECKING:
    from gradio import Blocks

FIRST_PORT = 7860

# Whatever Gradio or the models' libraries would ask of the network, they don't. Set before either is imported.
OFFLINE = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_ANALYTICS_MAX_EVENTS": "1",  # else it keeps the last 10,000 questions' times, and sums them all up after each
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_OFFLINE": "1",
}

# A second wall, in the browser: even markup that got through could load nothing from elsewhere. Gradio's own page needs
# inline scripts and evaluated templates.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'self'"
)
SENT_ALONG = [
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
]

# What the page and other programs ask for. The rest of what Gradio serves (files of this machine by path, requests passed on to
# other servers, editing of the program) is not there.
STARTED = "/gradio_api/startup-events"  # Gradio asks itself, once, whether it is there
SERVED = re.compile(
    rf"/|/config/?|/theme\.css|/favicon\.ico|/manifest\.json|/(?:assets|static|svelte)/.*|/login/?|/logout/?|/api/\w+|{STARTED}"
    r"|/gradio_api/(?:(?:info|component_server|queue/join|queue/data|upload|cancel|reset|mcp)/?|heartbeat/.*)"
)
UPLOAD = re.compile(r"/gradio_api/upload/?")
MOST_JSON = 16 * 2**20  # bytes; a long conversation, answers with all their quotes, is some megabytes
MOST_FORM = 10_000  # bytes of a user and password
FORM_PARTS = 2**20  # bytes that an upload's form needs around its files

PORT = re.compile(r":\d+$")
HOST_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:]+\]")
SESSIONS = 1000  # most kept; the one not used for longest is signed out first
PAGES_KEPT = 100  # of which Gradio keeps what it last showed, some 50 kB each; nothing here needs it
LEAST_PASSWORD = 8  # characters
WRONG = "The user or the password is wrong."
WRONG_TRIES, WRONG_SECONDS = 5, 60  # after so many wrong passwords from one network in so many seconds, none is tried
NETWORKS = 10_000  # most remembered for their wrong passwords

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>Sign in · Folio</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; display: grid; place-content: center; min-height: 90vh; margin: 0; padding: 1rem }}
form {{ display: grid; gap: 1rem; width: min(20rem, 90vw) }}
h1 {{ font-size: 1.5rem; margin: 0 }}
p {{ margin: 0; min-height: 1.5em }}
label {{ display: grid; gap: .25rem }}
input, button {{ font: inherit; padding: .5rem .75rem; border: 1px solid; border-radius: .5rem }}
</style></head><body><main><form method="post" action="/login">
<h1>Folio</h1>
<label>User <input name="username" autocomplete="username" autocapitalize="none" required autofocus></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<button>Sign in</button>
<p role="alert">{problem}</p>
</form></main></body></html>
"""


class LocalOnly:
    """Answers only what is asked of this machine under a name of its own, by a page of its own, and sends the content policy along.
    Else a page from elsewhere, open in the same browser, could ask the files: through a name of its own pointed at this address,
    or by posting here. `names` are host names to serve besides loopback and the address that was connected to.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str] = ()) -> None:
        self.app = app
        self.names = frozenset(name.lower().strip("[]") for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it with 403."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # web sockets: nothing here uses them
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *SENT_ALONG]}
            await send(message)

        headers = _headers(scope)
        host = headers.get("host", "").lower()
        here = scope.get("server") or ("", 0)  # the address that this connection came in by
        name = PORT.sub("", host).strip("[]")
        if not (is_loopback(name) or name == here[0] or name in self.names):
            refused = _said(403, "Folio does not serve under this name; --allow-host NAME adds one.")
            await refused(scope, receive, send_with_policy)
        elif "origin" in headers and urlsplit(headers["origin"]).netloc.lower() != host:
            await _said(403, "Folio answers its own pages only.")(scope, receive, send_with_policy)
        else:
            await self.app(scope, receive, send_with_policy)


class Limits:
    """Refuses what Folio does not serve, and what is too large."""

    def __init__(self, app: ASGIApp, upload_mb: float) -> None:
        self.app = app
        self.upload_mb = upload_mb

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it with 404, 411 or 413."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif (refused := self._refused(scope["path"], _headers(scope))) is not None:
            await refused(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _refused(self, path: str, headers: dict[str, str]) -> Response | None:
        if not SERVED.fullmatch(path):
            return _said(404, "Folio has nothing at this address.")
        if "transfer-encoding" in headers:  # its size is not known before it is read
            return _said(411, "Folio takes requests of known size only; send a Content-Length.")
        size = int(headers.get("content-length", 0))
        if UPLOAD.fullmatch(path):
            if size > self.upload_mb * 2**20 + FORM_PARTS:
                return _said(413, f"These are more than the {self.upload_mb:g} MB that may be added at once; raise RAG_UPLOAD_MB.")
        elif size > MOST_JSON:
            return _said(413, f"The request has {size / 2**20:.1f} MB; at most {MOST_JSON // 2**20} MB are read.")
        return None


class WellFormed:
    """Refuses calls of the page's script and of gradio_client at which Gradio would fail with a traceback: of no known function,
    with too few or too many values, in no known session, or no JSON. The values are checked by the functions.
    """

    def __init__(self, app: ASGIApp, blocks: "Blocks") -> None:
        self.app = app
        self.blocks = blocks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it with 400 or 404."""
        path = scope["path"].rstrip("/") if scope["type"] == "http" else ""
        if (
            path == STREAM
            and Request(scope).query_params.get("session_hash") not in self.blocks._queue.pending_messages_per_session
        ):
            await _said(404, "Nothing is being done in this session; call first.")(scope, receive, send)
        elif path in CALLS and scope["method"] == "POST":
            body = await Request(scope, receive).body()
            if self._fits(CALLS[path], body):
                await self.app(scope, _again(body, receive), send)
            else:
                await _said(400, "Folio does not understand this call; open the page anew.")(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _fits(self, call: "type[Joined | Called]", body: bytes) -> bool:
        try:
            return call.model_validate_json(body).fits(self.blocks)
        except ValidationError:
            return False


class Joined(BaseModel):
    """A call that takes its place in Gradio's queue."""

    fn_index: StrictInt
    data: list[Any]
    session_hash: StrictStr

    def fits(self, blocks: "Blocks") -> bool:
        """Whether there is such a function, of so many values."""
        function = blocks.fns.get(self.fn_index)
        return function is not None and function.fn is not None and len(self.data) == len(function.inputs)


class Called(BaseModel):
    """A call of a function of the page."""

    component_id: StrictInt
    fn_name: StrictStr
    session_hash: StrictStr

    def fits(self, blocks: "Blocks") -> bool:
        """Whether there is such a function."""
        return bool(getattr(getattr(blocks.blocks.get(self.component_id), self.fn_name, None), "_is_server_fn", False))


CALLS: dict[str, type[Joined | Called]] = {"/gradio_api/queue/join": Joined, "/gradio_api/component_server": Called}
STREAM = "/gradio_api/queue/data"  # where the results of what joined the queue come


class TooManyTries(Exception):
    """Wrong passwords came too often from one network."""


class Login:
    """The user and the password that are asked for, and how often wrong ones came. Holds a keyed hash of them only."""

    def __init__(self, user: str, password: str) -> None:
        self._key = secrets.token_bytes(32)
        self._expected = self._digest(user, password)
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()  # when, by network

    def accepts(self, user: str, password: str, client: str) -> bool:
        """Whether both are right, in a time that tells nothing of them. Raises TooManyTries for the network of this client."""
        network = _network(client)
        now = time.monotonic()
        wrong = self._wrong.get(network, deque(maxlen=WRONG_TRIES))
        if len(wrong) == WRONG_TRIES and now - wrong[0] < WRONG_SECONDS:
            raise TooManyTries
        if hmac.compare_digest(self._digest(user, password), self._expected):
            return True
        wrong.append(now)
        self._wrong[network] = wrong
        self._wrong.move_to_end(network)
        while len(self._wrong) > NETWORKS:
            self._wrong.popitem(last=False)
        return False

    def _digest(self, user: str, password: str) -> bytes:
        return hmac.digest(self._key, f"{user}:{password}".encode("utf-8", "surrogatepass"), "sha256")


class SignIn:
    """Lets a request through with a session's cookie or with the user and password themselves (HTTP Basic, for programs); for all
    others there is the form to sign in with. `gradio_client.Client(..., auth=(user, password))` signs in by it, too.
    """

    def __init__(self, app: ASGIApp, login: Login) -> None:
        self.app = app
        self.login = login
        self._sessions: OrderedDict[str, None] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it with 401 or, after too many tries, 429."""
        if scope["type"] == "lifespan" or scope["path"] == STARTED:
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await self._answered(request)
        except TooManyTries:
            response = _form(request, 429, f"Too many wrong passwords. Try again in {WRONG_SECONDS} seconds.")
        await (response or self.app)(scope, receive, send)

    async def _answered(self, request: Request) -> Response | None:
        """What this request gets without the application; None lets it through."""
        cookie = f"folio-{(request.scope.get('server') or ('', 0))[1]}"  # a browser has one set of cookies for all ports
        session = request.cookies.get(cookie, "")
        path = request.scope["path"].rstrip("/")
        if path == "/login" and request.method == "POST":
            return await self._sign_in(request, cookie)
        if session in self._sessions:
            self._sessions.move_to_end(session)
            if path == "/logout":
                del self._sessions[session]
                response = RedirectResponse("/", 303)
                response.delete_cookie(cookie, httponly=True, samesite="strict")
                return response
            return RedirectResponse("/", 303) if path == "/login" else None
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return _form(request, 401, "")
        user, _, password = _decoded(encoded).partition(":")
        if not self.login.accepts(user, password, _client(request)):
            return _form(request, 401, WRONG)
        return None if path not in ("/login", "/logout") else RedirectResponse("/", 303)

    async def _sign_in(self, request: Request, cookie: str) -> Response:
        if int(request.headers.get("content-length", 0)) > MOST_FORM:
            return _form(request, 413, "The user or the password is too long.")
        form = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
        user, password = (form.get(name, [""])[0] for name in ("username", "password"))
        if not self.login.accepts(user, password, _client(request)):
            return _form(request, 401, WRONG)
        session = secrets.token_urlsafe(32)
        self._sessions[session] = None
        while len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)
        response = RedirectResponse("/", 303) if _is_browser(request) else _said(200, "Signed in.")
        response.set_cookie(cookie, session, httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return response


def guards(blocks: "Blocks", upload_mb: float, host: str, login: Login | None, names: Iterable[str]) -> list[Middleware]:
    """What every request for the page passes before Gradio sees it, the first first."""
    own = [] if is_loopback(host) else [socket.gethostname(), host]  # `host` itself, 0.0.0.0, is what Gradio asks whether it runs
    passed = [Middleware(LocalOnly, names=[*own, *names]), Middleware(Limits, upload_mb=upload_mb)]
    if login is not None:
        passed.append(Middleware(SignIn, login=login))
    return [*passed, Middleware(WellFormed, blocks=blocks)]


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _again(body: bytes, receive: Receive) -> Receive:
    """A request's messages with the body that was read already."""
    read: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return read.pop() if read else await receive()

    return receive_again


def _said(status: int, sentence: str) -> Response:
    return PlainTextResponse(f"{sentence}\n", status)


def _form(request: Request, status: int, problem: str) -> Response:
    """The form to sign in with; for a program, a sentence."""
    if _is_browser(request):
        return HTMLResponse(PAGE.format(problem=escape(problem)), status, {"cache-control": "no-store"})
    return _said(status, problem or "Folio asks for a user and a password; send them by HTTP Basic authentication.")


def _is_browser(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _client(request: Request) -> str:
    return request.client.host if request.client else ""


def _network(client: str) -> str:
    """What one client can have many addresses in: of an IPv6 address the first 64 bits."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:  # what a proxy says need not be an address
        return client
    return client if address.version == 4 else ":".join(address.exploded.split(":")[:4])


def _decoded(encoded: str) -> str:
    """The text of base64; "" when it is none."""
    try:
        return base64.b64decode(encoded, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def read_login(wanted: bool) -> Login | None:
    """The user and password to ask for, from RAG_USER and RAG_PASSWORD or else from the terminal; None when none are wanted.

    Takes the password out of the environment, which programs started from here get. Raises InputError.
    """
    user, password = os.environ.get("RAG_USER"), os.environ.pop("RAG_PASSWORD", None)
    if not wanted and user is None and password is None:
        return None
    if (user is None or password is None) and not sys.stdin.isatty():
        raise InputError(
            "user and password are not known; set RAG_USER and RAG_PASSWORD, or start in a terminal, which asks for them"
        )
    try:
        user = input("User: ").strip() if user is None else user
        password = getpass.getpass("Password: ") if password is None else password
    except EOFError as error:
        raise InputError("no user and password were typed; type them, or set RAG_USER and RAG_PASSWORD") from error
    if not user or ":" in user:
        raise InputError(f"user '{user}' cannot be used; name one without a colon")
    if len(password) < LEAST_PASSWORD:
        raise InputError(f"the password has {len(password)} characters; use at least {LEAST_PASSWORD}")
    return Login(user, password)


def check_host(host: str, names: Sequence[str], login: Login | None) -> None:
    """Raises InputError for an address that cannot be served on, or that other machines could reach without signing in."""
    try:
        address = ipaddress.ip_address(host.strip("[]")) if host != "localhost" else None
    except ValueError:
        raise InputError(
            f"host '{host}' is no address; use 127.0.0.1 (the default), or 0.0.0.0 for all networks of this machine"
        ) from None
    for name in names:
        if not HOST_NAME.fullmatch(name.lower()):
            raise InputError(f"'{name}' is no host name; give the name alone, as in --allow-host files.example.org")
    if login is not None:
        return
    if address is not None and not address.is_loopback:
        raise InputError(
            f"host '{host}' is open to other machines; add --auth to ask for a password, or use 127.0.0.1 (the default)"
        )
    if names:
        raise InputError(f"--allow-host {names[0]} is for other machines; add --auth to ask them for a password, or leave it out")


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's loopback."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def free_port(host: str, wanted: int | None) -> int:
    """The wanted port; any free one for 0; without a wish the first free one from 7860. Raises InputError when there is none."""
    candidates = range(FIRST_PORT, FIRST_PORT + 100) if wanted is None else [wanted]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in candidates:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host.strip("[]"), port))
            except (OSError, OverflowError) as error:
                if getattr(error, "errno", None) == errno.EADDRNOTAVAIL:
                    raise InputError(f"host '{host}' is no address of this machine; use one that is, or 127.0.0.1") from error
                continue
            return int(probe.getsockname()[1])
    if wanted is None:
        raise InputError(f"no free port from {FIRST_PORT} to {FIRST_PORT + 99} on {host}; name one: --port N")
    raise InputError(f"port {wanted} on {host} is taken or not allowed; name another, or leave --port out")


def stay_offline() -> None:
    """Tell Gradio and the models' libraries, before they are imported, to ask nothing of the network."""
    os.environ.update(OFFLINE)
    for name in ("no_proxy", "NO_PROXY"):  # a proxy for the outside world is not asked for this machine
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1,localhost,::1")))
