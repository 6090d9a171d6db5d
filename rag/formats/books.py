"""E-books. An EPUB is a zip of web pages with a list of their order: both are read here already, so no library is needed."""

import posixpath
from urllib.parse import unquote, urldefrag
from xml.etree.ElementTree import Element

from rag.formats.archive import Archive, child
from rag.formats.extracted import Extracted, Lines, Unreadable
from rag.formats.html import decode_page, write_page

FONT_SCRAMBLING = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")  # no copy protection


def extract(data: bytes, suffix: str) -> Extracted:
    """The chapters in reading order, each a place named as the table of contents has it."""
    archive = Archive.open(data)
    if "META-INF/encryption.xml" in archive.names:
        ways = [node.get("Algorithm") for node in archive.xml("META-INF/encryption.xml").iter("EncryptionMethod")]
        if any(way not in FONT_SCRAMBLING for way in ways):
            raise Unreadable("copy-protected (DRM), which is not read")
    rootfile = next(archive.xml("META-INF/container.xml").iter("rootfile"), None)
    package_name = rootfile.get("full-path", "") if rootfile is not None else ""
    package = archive.xml(package_name)
    folder = posixpath.dirname(package_name)
    manifest = {item.get("id", ""): item for item in package.iter("item")}
    spine = [ref.get("idref", "") for ref in package.iter("itemref")]
    chapters = [_path(folder, manifest[name].get("href", "")) for name in spine if name in manifest]
    names = _contents(archive, folder, list(manifest.values()))
    lines = Lines()
    for number, chapter in enumerate(chapters, 1):
        if chapter not in archive.names:
            continue
        lines.gap()
        lines.place(f"chapter {names.get(chapter) or number}")
        if (markup := decode_page(archive.read(chapter))[0]).strip():
            write_page(markup, lines)
    title = child(package, "metadata", "title")
    return lines.done(title.text or "" if title is not None else "")


def _contents(archive: Archive, folder: str, items: list[Element]) -> dict[str, str]:
    """{part: name of the chapter that begins in it}, from the navigation page (EPUB 3) or the NCX (EPUB 2)."""
    from selectolax.lexbor import LexborHTMLParser

    names: dict[str, str] = {}
    for item in items:
        part = _path(folder, item.get("href", ""))
        if part not in archive.names:
            continue
        base = posixpath.dirname(part)
        if "nav" in item.get("properties", "").split():
            for link in LexborHTMLParser(decode_page(archive.read(part))[0]).css("nav a[href]"):
                names.setdefault(_path(base, link.attributes.get("href") or ""), " ".join(link.text().split()))
        elif item.get("media-type") == "application/x-dtbncx+xml":
            for point in archive.xml(part).iter("navPoint"):
                label, content = child(point, "navLabel", "text"), child(point, "content")
                if label is not None and content is not None:
                    names.setdefault(_path(base, content.get("src", "")), " ".join((label.text or "").split()))
    return names


def _path(folder: str, href: str) -> str:
    """A reference inside the book → the name of the part."""
    return posixpath.normpath(posixpath.join("/", folder, unquote(urldefrag(href).url))).lstrip("/")
