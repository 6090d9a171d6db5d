"""A browser window on a running chat, and a document that would do harm if it were more than text."""

from urllib.parse import urlsplit

from chatting import Chat
from playwright.sync_api import BrowserContext, Page

ELSEWHERE = "203.0.113.9"  # an address that is nobody's (RFC 5737)
HOSTILE_NAME = "harbour <img src=x onerror=window.hacked=1> & co.md"
HOSTILE = (
    "# Harbour notice\n\n"
    f"The harbour master of Kalvik is <script>window.hacked=2</script> Ingrid Strand <img src='http://{ELSEWHERE}/a.png' "
    f"onerror='window.hacked=3'> ![pixel](http://{ELSEWHERE}/b.png) [she](javascript:window.hacked=4) **bold** "
    f"${{window.hacked=5}} {{{{value}}}} \u202eevil\u202c {'x' * 120}\n"
)


class Window:
    """A browser window on the chat that keeps a record of every request."""

    def __init__(self, context: BrowserContext, chat: Chat) -> None:
        self.asked: list[str] = []
        self.errors: list[str] = []
        context.on("request", lambda request: self.asked.append(request.url))
        context.on("weberror", lambda error: self.errors.append(str(error.error)))
        self.page: Page = context.new_page()
        self.page.set_default_timeout(60_000)
        self.page.on("websocket", lambda socket: self.asked.append(socket.url))
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.goto(chat.address)
        self.page.locator(".welcome h1").wait_for()

    def ask(self, question: str) -> None:
        """Type a question and send it with Enter; returns when its answer stands there."""
        turns = self.page.locator(".turn").count()
        self.page.get_by_role("textbox", name="Your question").fill(question)
        self.page.keyboard.press("Enter")
        self.page.locator(".turn").nth(turns).locator(":scope > .answer, :scope > .problem").wait_for()

    def leaving(self) -> list[str]:
        """Requests that went anywhere but to this machine."""
        return [url for url in self.asked if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).hostname != "127.0.0.1"]

    def hidden_width(self) -> int:
        """Pixels of the page that one would have to scroll sideways for."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
