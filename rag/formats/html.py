"""Web pages, by selectolax: lexbor parses as browsers do, is one small wheel, and some 20 times faster than pure Python.

trafilatura was weighed: it guesses the main content from the density of text, and drops tables, short pages and whatever its rules
take for boilerplate, besides bringing lxml and nine more packages. Here a page loses only what its own markup, or a list of
nothing but links, declares to be navigation.
"""

import re
from typing import TYPE_CHECKING

from rag.formats.decoding import decode
from rag.formats.extracted import Extracted, Lines, Unreadable

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

BLOCKS = frozenset(
    "address article blockquote body caption center dd details dialog div dl dt fieldset figcaption figure footer form "
    "h1 h2 h3 h4 h5 h6 header hgroup hr li main ol p pre section summary table tbody tfoot thead tr ul".split()
)
HEADINGS = frozenset("h1 h2 h3 h4 h5 h6".split())
SPACED = HEADINGS | frozenset(["p", "pre", "table", "ul", "ol", "dl", "blockquote", "section", "article"])
UNREAD = (
    "script, style, noscript, template, svg, iframe, nav, footer, aside, button, select, input, textarea, [hidden], "
    "[aria-hidden=true], [role=navigation], [role=banner], [role=contentinfo], [role=search], [role=complementary], a.headerlink"
)
MAIN = "main, [role=main]"
MENU_LINKS = 4  # a list of at least as many links, and little else, is a menu
CHARSET = re.compile(rb"""<(?:meta[^>]{0,200}?charset|\?xml[^>]{0,100}?encoding)\s*=\s*["']?\s*([\w.:-]{2,40})""", re.IGNORECASE)


def extract(data: bytes, suffix: str) -> Extracted:
    """A page's main content: one line a block, "# " before headings, "- " before list items, cells divided by " | "."""
    markup, encoding = decode_page(data)
    lines = Lines()
    title = write_page(markup, lines)
    return lines.done(title, encoding=encoding)


def decode_page(data: bytes) -> tuple[str, str]:
    """Bytes → (markup, encoding): as the page declares it, where that is possible and a mark or UTF-8 don't say otherwise."""
    declared = CHARSET.search(data[:4096])
    try:
        if b"\0" not in data:
            return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        pass
    if declared and b"\0" not in data:
        name = declared[1].decode("ascii")
        name = "cp1252" if name.lower() in ("iso-8859-1", "latin1", "ascii", "us-ascii") else name  # as browsers read it
        try:
            return data.decode(name), name
        except (UnicodeDecodeError, LookupError):
            pass
    return decode(data)


def write_page(markup: str, lines: Lines) -> str:
    """Write a page's content; returns its title, or ""."""
    from selectolax.lexbor import LexborHTMLParser

    if not markup.strip():
        raise Unreadable("empty")
    tree = LexborHTMLParser(markup)
    title_node = tree.css_first("title")
    title = " ".join(title_node.text().split()) if title_node else ""
    if (root := _content(tree)) is not None:
        _write(root, lines)
    return title


def _content(tree: "LexborHTMLParser") -> "LexborNode | None":
    """The node that holds the page, cleared of what is not content."""
    for node in tree.css(UNREAD):
        node.decompose()
    body = tree.body
    mains = [node for node in tree.css(MAIN) if _words(node)]
    if len(mains) == 1:
        return mains[0]
    if body is not None:
        menus = [node for node in tree.css("ul, ol") if _is_menu(node)]
        everything = _words(body)
        if sum(_words(menu) for menu in menus) < 0.8 * everything:  # else the page is a list of links
            for menu in menus:
                menu.decompose()
    return body


def _words(node: "LexborNode") -> int:
    return len(node.text().split())


def _is_menu(node: "LexborNode") -> bool:
    """A list whose every item is one short link, and whose links are the navigation's: to places within the site."""
    items = [item for item in node.iter() if item.tag == "li"]
    links = [link for link in node.css("a[href]") if link.text().strip()]
    if len(items) < MENU_LINKS or len(links) < len(items):
        return False
    linked = sum(len(link.text().split()) for link in links)
    return linked >= 0.95 * _words(node) and linked <= 4 * len(links) and node.css_first("ul ul, ol ol, p") is None


def _write(root: "LexborNode", lines: Lines) -> None:
    words: list[str] = []
    marker = ""  # what the next line begins with: "## ", "- "

    def flush(verbatim: bool = False) -> None:
        nonlocal marker
        raw = "".join(words)
        words.clear()
        for line in raw.splitlines() if verbatim else [" ".join(raw.split())]:
            if line.strip():
                lines.add(marker + line)
                marker = ""

    # An explicit stack of (node, leaving): pages nest deeper than Python's recursion allows.
    stack: list[tuple[LexborNode, bool]] = [(root, False)]
    cells = 0  # of the row being written; an empty cell keeps its place
    while stack:
        node, leaving = stack.pop()
        tag = node.tag or ""
        if leaving:
            flush(verbatim=tag == "pre")
            marker = ""
            if tag in SPACED:
                lines.gap()
            continue
        if tag == "-text":
            words.append(node.text_content or "")
            continue
        if tag == "br":
            if _within(node, "pre"):
                words.append("\n")
            elif _within(node, "td", "th"):
                words.append(" ")
            else:
                flush()
        elif tag in ("td", "th"):
            if cells:
                words.append(" | ")
            cells += 1
        elif tag in BLOCKS and not _within(node, "td", "th"):
            flush()
            if tag in SPACED:
                lines.gap()
            if tag == "li":
                marker = "- "
            elif tag in HEADINGS:
                marker = "#" * int(tag[1]) + " "
            elif tag == "tr":
                cells = 0
            stack.append((node, True))
        elif tag in BLOCKS:
            words.append(" ")
        stack.extend((child, False) for child in list(node.iter(include_text=True))[::-1])
    flush()


def _within(node: "LexborNode", *tags: str) -> bool:
    """Directly in one of these: a paragraph in a table's cell, for one, does not end the row's line."""
    return node.parent is not None and node.parent.tag in tags
