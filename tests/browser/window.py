"""A browser window on a running chat, and a document that would do harm if it were more than text."""

from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from chatting import Chat
from playwright.sync_api import BrowserContext, Locator, Page

ELSEWHERE = "203.0.113.9"  # an address that is nobody's (RFC 5737)
HOSTILE_NAME = "harbour <img src=x onerror=window.hacked=1> & co.md"
HOSTILE = (
    "# Harbour notice\n\n"
    f"The harbour master of Kalvik is <script>window.hacked=2</script> Ingrid Strand <img src='http://{ELSEWHERE}/a.png' "
    f"onerror='window.hacked=3'> ![pixel](http://{ELSEWHERE}/b.png) [she](javascript:window.hacked=4) **bold** "
    f"${{window.hacked=5}} {{{{value}}}} \u202eevil\u202c \x1b[31mred\x1b[0m {'x' * 120}\n"
)
LONG_NAME = "logbook.txt"
LONG_LINES = 700
LONG_FACT = "The ferry Marlena was painted green in the spring of 1931."
LONG_AT = 400  # the line that the fact stands on
LONG = "".join(f"Day {line}: wind from the west, nothing was seen.\n" for line in range(1, LONG_LINES + 1)).replace(
    f"Day {LONG_AT}: wind from the west, nothing was seen.", LONG_FACT
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

    def button(self, name: str) -> Locator:
        """A button of the top line or the panel, by its whole name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def violations(self) -> list[str]:
        """What axe-core finds wrong for people who use a keyboard, a screen reader or little contrast, serious or worse."""
        self.page.wait_for_timeout(250)  # colours have come to rest
        found = Axe().run(self.page).response["violations"]
        return [
            f"{one['id']}: {node['html'][:200]}"
            for one in found
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]

    def leaving(self) -> list[str]:
        """Requests that went anywhere but to this machine."""
        return [url for url in self.asked if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).hostname != "127.0.0.1"]

    def hidden_width(self) -> int:
        """Pixels of the page that one would have to scroll sideways for."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
