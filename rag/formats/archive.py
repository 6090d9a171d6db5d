"""Office files and e-books are zip archives of XML: opening one safely, and reading its XML without entities.

zipfile and pyexpat of the standard library: nothing to install, and the checks stand before the first byte is unpacked.
"""

import posixpath
import zlib
from io import BytesIO
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat
from zipfile import BadZipFile, ZipFile

from rag.formats.extracted import Unreadable

MOST_UNPACKED = 500 * 2**20
RATIO, RATIO_FROM = 200, 2**20  # text packs 5 to 50 times, a bomb 1,000 times
MOST_PARTS = 50_000
DEEPEST = 256  # elements within each other; Word nests some 20
DAMAGE = (BadZipFile, zlib.error, EOFError, RuntimeError, OSError, ValueError)  # what zipfile raises on damaged archives
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # the old Office container, in which new Office keeps what it has encrypted
ENCRYPTED = "EncryptedPackage".encode("utf-16-le")  # under this name


class Archive:
    """A zip archive whose sizes have been checked."""

    def __init__(self, file: ZipFile) -> None:
        self._file = file
        self.names = frozenset(file.namelist())

    @classmethod
    def open(cls, data: bytes) -> "Archive":
        """Raises Unreadable for what is no zip, encrypted, damaged, or unpacks to far more than it should."""
        if data.startswith(OLE) and ENCRYPTED in data:
            raise Unreadable("encrypted with a password; save it without one")
        if data.startswith(OLE):
            raise Unreadable("an old Office file under a new name; save it as .docx, .xlsx or .pptx")
        try:
            file = ZipFile(BytesIO(data))
        except DAMAGE as error:
            raise Unreadable(f"damaged, or not what its name says: {error}") from error
        parts = file.infolist()
        total = sum(part.file_size for part in parts)
        if len(parts) > MOST_PARTS or total > MOST_UNPACKED:
            raise Unreadable(f"unpacks to {total / 2**20:,.0f} MB in {len(parts):,} parts; too large to be read")
        if any(part.file_size > RATIO_FROM and part.file_size > RATIO * max(1, part.compress_size) for part in parts):
            raise Unreadable(f"unpacks to more than {RATIO} times its size; it looks like a zip bomb")
        if any(part.flag_bits & 1 for part in parts):
            raise Unreadable("encrypted with a password; save it without one")
        return cls(file)

    def read(self, name: str) -> bytes:
        """The bytes of one part. Raises Unreadable when it is missing or damaged."""
        try:
            return self._file.read(name)
        except KeyError as error:
            raise Unreadable(f"damaged, or not what its name says: it holds no {name}") from error
        except DAMAGE as error:
            raise Unreadable(f"damaged: {name} cannot be unpacked") from error

    def xml(self, name: str) -> Element:
        """One part, parsed. Raises Unreadable when it is missing, damaged or hostile."""
        return parse_xml(self.read(name))

    def relations(self, name: str) -> dict[str, str]:
        """{id: part} of what a part of an Office file refers to inside the archive."""
        folder, base = posixpath.split(name)
        rels = posixpath.join(folder, "_rels", base + ".rels")
        if rels not in self.names:
            return {}
        return {
            relation.get("Id", ""): posixpath.normpath(posixpath.join("/", folder, relation.get("Target", ""))).lstrip("/")
            for relation in self.xml(rels)
            if relation.get("TargetMode") != "External"
        }


def parse_xml(data: bytes) -> Element:
    """XML → tree of elements, names without their namespace ("r:" stays in front of attributes of relationships).

    Declared entities are refused, external ones never fetched, and the depth is bounded, so that a tree may be walked by
    recursion. Raises Unreadable.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate(namespace_separator=" ")
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise Unreadable(f"XML nested deeper than {DEEPEST}")
        builder.start(_local(name), {_attribute(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_local(name))

    def entity(*_: object) -> None:
        raise Unreadable("its XML declares entities, which no office program writes")

    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = entity
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise Unreadable(f"damaged: its XML does not parse ({error})") from error
    root: Element = builder.close()
    return root


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def _attribute(name: str) -> str:
    space, _, local = name.rpartition(" ")
    return f"r:{local}" if space.endswith("/relationships") else local


def child(node: Element | None, *names: str) -> Element | None:
    """The first child of that name, its first child of the next, and so on."""
    for name in names:
        node = node.find(name) if node is not None else None
    return node
