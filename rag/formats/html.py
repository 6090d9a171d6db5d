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
    "h1 h2 h3 h4 h5 h6 header hgroup hr li main ol p pre section summary table tbody td tfoot th thead tr ul".split()
)
HEADINGS = frozenset("h1 h2 h3 h4 h5 h6".split())
SPACED = HEADINGS | frozenset(["p", "pre", "table", "ul", "ol", "dl", "blockquote", "section", "article"])
UNREAD = (
    "script, style, noscript, template, svg, iframe, nav, footer, aside, button, select, input, textarea, [hidden], "
    "[aria-hidden=true], [role=navigation], [role=banner], [role=contentinfo], [role=search], [role=complementary], a.headerlink"
)
MAIN = "main, [role=main]"
HEADED_CELL = "td h1, td h2, td h3"
LONGEST_CELL = 1000  # characters
MOST_SPANNED = 64  # columns or rows under one cell
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
            if node.parent is not None and node.parent.tag == "pre":
                words.append("\n")
            else:
                flush()
        elif tag in BLOCKS:
            flush()
            if tag in SPACED:
                lines.gap()
            if tag == "table" and (rows := _rows(node)):
                for caption in node.css("caption"):
                    lines.add(_text(caption))
                lines.table(rows)
                continue
            if tag == "li":
                marker = "- "
            elif tag in HEADINGS:
                marker = "#" * int(tag[1]) + " "
            stack.append((node, True))
        stack.extend((child, False) for child in list(node.iter(include_text=True))[::-1])
    flush()


def _rows(table: "LexborNode") -> list[list[str]]:
    """The cells of a table, a merged one in every row that it covers; none when the table only lays out a page: says so itself,
    or holds other tables, headings or whole texts."""
    role = table.attributes.get("role")
    if role in ("presentation", "none") or len(table.css("table")) > 1 or table.css_first(HEADED_CELL):
        return []
    rows: list[list[str]] = []
    going_on: dict[int, tuple[int, str]] = {}  # column → how many more rows a cell covers, and its text
    for line in table.css("tr"):
        row: list[str] = []
        for cell in [*(cell for cell in line.iter() if cell.tag in ("td", "th")), None]:
            while going_on.get(len(row), (0, ""))[0]:
                left, text = going_on[len(row)]
                going_on[len(row)] = left - 1, text
                row.append(text)
            if cell is not None:
                text = _text(cell)
                for part in [text, *[""] * (_span(cell, "colspan") - 1)]:
                    going_on[len(row)] = _span(cell, "rowspan") - 1, part
                    row.append(part)
        rows.append(row)
    cells = [cell for row in rows for cell in row]
    return rows if max(map(len, rows), default=0) > 1 and max(map(len, cells)) <= LONGEST_CELL else []


def _span(cell: "LexborNode", name: str) -> int:
    value = cell.attributes.get(name) or ""
    return max(1, min(int(value), MOST_SPANNED)) if value.isascii() and value.isdecimal() and len(value) < 10 else 1


def _text(node: "LexborNode") -> str:
    """All text within a node as one line."""
    words: list[str] = []
    stack: list[LexborNode | None] = [node]  # None: where a block ends
    while stack:
        inner = stack.pop()
        if inner is None or inner.tag == "br":
            words.append(" ")
        elif inner.tag == "-text":
            words.append(inner.text_content or "")
        else:
            if inner.tag in BLOCKS:
                words.append(" ")
                stack.append(None)
            stack.extend(list(inner.iter(include_text=True))[::-1])
    return " ".join("".join(words).split())
