"""Serving on this machine: which addresses, which requests are refused, and that nothing is asked of the network."""

import ipaddress
import os
import re
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rag.errors import InputError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

FIRST_PORT = 7860

# Whatever Gradio or the models' libraries would ask of the network, they don't. Set before either is imported.
OFFLINE = {
    "GRADIO_ANALYTICS_ENABLED": "False",
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

PORT = re.compile(r":\d+$")


class LocalOnly:
    """Answers only what this machine asks under a loopback name, and sends the content policy along. Else a page from elsewhere,
    open in the same browser, could ask the files: through a name of its own pointed at this address, or by posting here.
    """

    def __init__(self, app: "ASGIApp") -> None:
        self.app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Serve one request, or refuse it with 403."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        names = [headers.get(b"host", ""), *([urlsplit(headers[b"origin"]).netloc] if b"origin" in headers else [])]
        if scope["type"] != "http" or not all(is_loopback(PORT.sub("", name)) for name in names):
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"Folio answers on this machine only.\n"})
            return

        async def send_with_policy(message: "Message") -> None:
            if message["type"] == "http.response.start":
                extra = [(b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer")]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await self.app(scope, receive, send_with_policy)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's loopback."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def free_port(host: str, wanted: int | None) -> int:
    """The wanted port; any free one for 0; without a wish the first free one from 7860. Raises InputError when taken."""
    candidates = range(FIRST_PORT, FIRST_PORT + 100) if wanted is None else [wanted]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in candidates:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host.strip("[]"), port))
            except (OSError, OverflowError):
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
