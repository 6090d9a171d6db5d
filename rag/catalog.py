"""The catalogue: one SQLite file that holds documents, chunks, vectors and full text, and is the single source of truth.

A build stages new documents one by one (so that a killed build is continued, not repeated) and publishes them all in one
transaction, which raises the generation. Readers never see staged rows, and hold one snapshot for the length of a question.
What a build compares files with (names, sizes, times) lies apart from the texts, and what it publishes costs what changed.
"""

import json
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rag.errors import IndexDamaged, IndexMissing
from rag.folder import Listed
from rag.types import Chunk, Document

Item = TypeVar("Item", int, str)

FORMAT = "4"
FILE = "catalog.sqlite3"
LIVE, STAGED = 0, 1
AT_ONCE = 4096  # rows that one query names or brings
CACHE_KIB = 32 * 1024  # pages that a build keeps in memory: keys are hashes, and fall anywhere in their index

SCHEMA = """
PRAGMA page_size = 8192;              -- five vectors of 384 dimensions fill one
BEGIN IMMEDIATE;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    id INTEGER PRIMARY KEY,
    state INTEGER NOT NULL,           -- 0 live, 1 staged by a build that has not published yet
    source TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    encoding TEXT NOT NULL,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    unread TEXT NOT NULL,             -- which parts of the file are not in its text, and why
    UNIQUE (source, state)
);
CREATE INDEX staged ON documents (id) WHERE state = 1;
CREATE TABLE texts (
    document INTEGER PRIMARY KEY REFERENCES documents ON DELETE CASCADE,
    text TEXT NOT NULL,
    places TEXT NOT NULL              -- JSON: [[offset, name], …]
);
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,   -- never used twice: a stale FAISS id must not name another chunk
    document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    heading TEXT NOT NULL,
    sentences BLOB NOT NULL,          -- int32 pairs
    key BLOB NOT NULL                 -- hash of encoder and embedded text
);
CREATE INDEX chunks_by_document ON chunks (document, ordinal);
CREATE INDEX chunks_by_key ON chunks (key);
CREATE TABLE vectors (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL);
CREATE TABLE loose (key BLOB PRIMARY KEY) WITHOUT ROWID;  -- of chunks deleted since the last publishing
CREATE TRIGGER chunk_deleted AFTER DELETE ON chunks BEGIN INSERT OR IGNORE INTO loose VALUES (old.key); END;
CREATE TABLE skipped (source TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, reason TEXT NOT NULL) WITHOUT ROWID;
CREATE VIRTUAL TABLE fulltext USING fts5 (context, body, tokenize = 'porter unicode61 remove_diacritics 2');
COMMIT;
"""

NOT_THE_FILE = frozenset(
    (
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    )
)


def vector_key(fingerprint: str, text: str) -> bytes:
    """Under which a text's vector is kept: another encoder or another text is another key."""
    return sha256(f"{fingerprint}\0{text}".encode("utf-8", "surrogatepass")).digest()


def embedded_text(chunk: Chunk) -> str:
    """What the encoder reads: title and heading, then the chunk. Not quotable."""
    return f"{chunk.context}\n{chunk.text}" if chunk.context else chunk.text


class Catalog:
    """An open catalogue. `open` reads or writes an existing one, `create` makes one."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.db = connection

    @classmethod
    def open(cls, folder: Path, *, create: bool = False) -> "Catalog":
        """Open `folder`'s catalogue, read-only unless `create`.

        Raises IndexMissing when there is none (and `create` is not set), IndexDamaged when it is no catalogue,
        sqlite3.DatabaseError when it cannot be written to.
        """
        path = folder / FILE
        if not path.is_file() and not create:
            raise IndexMissing(f"no index in '{folder}'; build one: rag build FOLDER --index {folder}")
        connection = None
        try:
            if create:
                connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
            else:
                connection = _connect_reading(path)
            tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meta'").fetchone()[0]
            if not tables:
                if not create:
                    connection.close()
                    raise IndexMissing(f"no index in '{folder}'; build one: rag build FOLDER --index {folder}")
                connection.executescript(SCHEMA)
            if create:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("PRAGMA foreign_keys = ON")
                connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            return cls(path, connection)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the latter: SQLite's message holds a garbled name
            if connection is not None:
                connection.close()
            if create and not is_damage(error):
                raise
            raise damaged(path, error) from error

    def close(self) -> None:
        self.db.close()

    def __enter__(self) -> "Catalog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """One consistent state for all reads inside; a build may publish meanwhile."""
        self.db.execute("BEGIN")
        try:
            yield
        finally:
            self._roll_back()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._roll_back()
            raise
        self.db.execute("COMMIT")

    def _roll_back(self) -> None:
        if self.db.in_transaction:  # some errors, such as a full disk, have rolled it back already
            self.db.execute("ROLLBACK")

    # --- what built this index ------------------------------------------------------------------------------------

    def meta(self) -> dict[str, str]:
        return dict(self.db.execute("SELECT key, value FROM meta").fetchall())

    def set_meta(self, values: dict[str, str]) -> None:
        self.db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())

    def generation(self) -> int:
        row = self.db.execute("SELECT value FROM meta WHERE key = 'generation'").fetchone()
        return int(row[0]) if row else 0

    # --- listing --------------------------------------------------------------------------------------------------

    def files(self, state: int = LIVE) -> dict[str, tuple[int, int, str]]:
        """{source: (size, mtime_ns, sha256)} of all documents."""
        rows = self.db.execute("SELECT source, size, mtime_ns, sha256 FROM documents WHERE state = ?", (state,))
        return {source: (size, mtime, digest) for source, size, mtime, digest in rows}

    def skipped(self) -> dict[str, tuple[int | None, int | None, str]]:
        rows = self.db.execute("SELECT source, size, mtime_ns, reason FROM skipped")
        return {source: (size, mtime, reason) for source, size, mtime, reason in rows}

    def partly(self) -> dict[str, str]:
        """{source: what of it is not in the text, and why} of the live documents that are indexed but for a part."""
        return dict(self.db.execute("SELECT source, unread FROM documents WHERE state = 0 AND unread != '' ORDER BY source"))

    def counts(self) -> tuple[int, int]:
        """(documents, chunks), live."""
        return (
            self.db.execute("SELECT count(*) FROM documents WHERE state = 0").fetchone()[0],
            self.db.execute("SELECT count(*) FROM chunks JOIN documents d ON d.id = document WHERE d.state = 0").fetchone()[0],
        )

    # --- reading --------------------------------------------------------------------------------------------------

    def document(self, source: str) -> Document | None:
        """The live document of that name, text included."""
        row = self.db.execute(
            "SELECT source, text, sha256, size, mtime_ns, encoding, kind, title, places, unread "
            "FROM documents JOIN texts ON document = id WHERE source = ? AND state = 0",
            (source,),
        ).fetchone()
        if row is None:
            return None
        source, text, digest, size, mtime_ns, encoding, kind, title, places, unread = row
        return Document(source, text, digest, size, mtime_ns, encoding, kind, title, _places(places), unread)

    def chunks(self, ids: Sequence[int]) -> dict[int, Chunk]:
        """{id: chunk} for those ids that are live."""
        found: dict[int, Chunk] = {}
        for some in _portions(ids):
            rows = self.db.execute(
                'SELECT c.id, d.source, c.ordinal, c.start, c."end", f.body, d.title, c.heading, c.sentences '
                "FROM chunks c JOIN documents d ON d.id = c.document JOIN fulltext f ON f.rowid = c.id "
                f"WHERE d.state = 0 AND c.id IN ({_marks(some)})",
                some,
            )
            for number, source, ordinal, start, end, body, title, heading, sentences in rows:
                flat = array("i", sentences)
                found[number] = Chunk(
                    source, ordinal, start, end, body, title, heading, tuple(zip(flat[0::2], flat[1::2], strict=True))
                )
        return found

    def joined(self, chunk: Chunk) -> Chunk:
        """The chunk together with the ones before and after it in its document, as one."""
        rows = self.db.execute(
            'SELECT c.start, c."end", c.sentences, d.id FROM chunks c JOIN documents d ON d.id = c.document '
            "WHERE d.state = 0 AND d.source = ? AND c.ordinal BETWEEN ? AND ? ORDER BY c.ordinal",
            (chunk.source, chunk.ordinal - 1, chunk.ordinal + 1),
        ).fetchall()
        start, end = rows[0][0], rows[-1][1]
        text = self.db.execute(
            "SELECT substr(text, ?, ?) FROM texts WHERE document = ?", (start + 1, end - start, rows[0][3])
        ).fetchone()[0]
        flat = array("i", b"".join(row[2] for row in rows))
        units = tuple(zip(flat[0::2], flat[1::2], strict=True))
        return Chunk(chunk.source, chunk.ordinal, start, end, text, chunk.title, chunk.heading, units)

    def chunk_ids(self, sources: Sequence[str]) -> list[int]:
        """Ids of all chunks of these live documents, ascending."""
        ids: list[int] = []
        for some in _portions(sources):
            rows = self.db.execute(
                "SELECT c.id FROM chunks c JOIN documents d ON d.id = c.document "
                f"WHERE d.state = 0 AND d.source IN ({_marks(some)})",
                some,
            )
            ids.extend(row[0] for row in rows)
        return sorted(ids)

    def live_ids(self) -> NDArray[np.int64]:
        """Ids of all live chunks, ascending, shape (n,)."""
        rows = self.db.execute("SELECT c.id FROM chunks c JOIN documents d ON d.id = c.document WHERE d.state = 0")
        return np.sort(np.fromiter((number for (number,) in rows), dtype=np.int64))

    def vectors(self, ids: NDArray[np.int64], dimension: int) -> NDArray[np.float32]:
        """Vectors of these chunks, whose ids ascend; shape (len(ids), dimension).

        Raises sqlite3.DatabaseError when one is missing.
        """
        found = np.empty((len(ids), dimension), dtype=np.float32)
        done = 0
        for some in _portions(ids.tolist()):
            rows = self.db.execute(
                f"SELECT v.vector FROM chunks c JOIN vectors v ON v.key = c.key WHERE c.id IN ({_marks(some)}) ORDER BY c.id", some
            )
            for (vector,) in rows:
                found[done] = np.frombuffer(vector, dtype="<f4")
                done += 1
        if done != len(ids):
            raise sqlite3.DatabaseError(f"{len(ids) - done} vectors are missing")
        return found

    def dimension(self) -> int:
        """Length of the live chunks' vectors; 0 when there is none."""
        row = self.db.execute(
            "SELECT length(v.vector) / 4 FROM vectors v JOIN chunks c ON c.key = v.key JOIN documents d ON d.id = c.document "
            "WHERE d.state = 0 LIMIT 1"
        ).fetchone()
        return int(row[0]) if row else 0

    def check(self) -> None:
        """Raises sqlite3.DatabaseError when pages of the file are damaged, or it is of another format."""
        verdict = self.db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        if (found := self.meta().get("format", FORMAT)) != FORMAT:
            raise sqlite3.DatabaseError(f"format {found}")

    # --- building -------------------------------------------------------------------------------------------------

    def unstage(self, keep: Iterable[Listed] = ()) -> set[str]:
        """Drop staged documents, but those that still are as listed in `keep`; returns the kept names."""
        current = {(listed.source, listed.size, listed.mtime_ns) for listed in keep}
        staged = {(source, size, mtime) for source, (size, mtime, _) in self.files(STAGED).items()}
        with self.transaction():
            for source, _, _ in staged - current:
                self.db.execute("DELETE FROM documents WHERE source = ? AND state = 1", (source,))
        return {source for source, _, _ in staged & current}

    def stage(self, document: Document, chunks: Sequence[Chunk], fingerprint: str) -> None:
        """Keep a document and its chunks, unseen by readers until `publish`."""
        with self.transaction():
            self.db.execute("DELETE FROM documents WHERE source = ? AND state = 1", (document.source,))
            cursor = self.db.execute(
                "INSERT INTO documents (state, source, size, mtime_ns, sha256, encoding, kind, title, unread) "
                "VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    document.source,
                    document.size,
                    document.mtime_ns,
                    document.sha256,
                    document.encoding,
                    document.kind,
                    document.title,
                    document.unread,
                ),
            )
            self.db.execute("INSERT INTO texts VALUES (?, ?, ?)", (cursor.lastrowid, document.text, json.dumps(document.places)))
            self.db.executemany(
                'INSERT INTO chunks (document, ordinal, start, "end", heading, sentences, key) VALUES (?, ?, ?, ?, ?, ?, ?)',
                (
                    (
                        cursor.lastrowid,
                        chunk.ordinal,
                        chunk.start,
                        chunk.end,
                        chunk.heading,
                        array("i", [offset for pair in chunk.sentences for offset in pair]).tobytes(),
                        vector_key(fingerprint, embedded_text(chunk)),
                    )
                    for chunk in chunks
                ),
            )

    def unembedded(self) -> Iterator[tuple[bytes, str]]:
        """(key, text) of staged chunks that have no vector yet, each key once, document by document."""
        seen: set[bytes] = set()
        for number, source, title, text in self._staged():
            rows = self.db.execute(
                'SELECT c.start, c."end", c.heading, c.key, c.ordinal FROM chunks c '
                "WHERE c.document = ? AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.key = c.key) ORDER BY c.ordinal",
                (number,),
            ).fetchall()
            for start, end, heading, key, ordinal in rows:
                if key not in seen:
                    seen.add(key)
                    yield key, embedded_text(Chunk(source, ordinal, start, end, text[start:end], title, heading, ()))

    def _staged(self) -> Iterator[tuple[int, str, str, str]]:
        """(id, source, title, text) of staged documents, one at a time: an open query would keep the log from being emptied."""
        rows = self.db.execute("SELECT id, source, title FROM documents WHERE state = 1 ORDER BY id").fetchall()
        for number, source, title in rows:
            (text,) = self.db.execute("SELECT text FROM texts WHERE document = ?", (number,)).fetchone()
            yield number, source, title, text

    def unembedded_count(self) -> int:
        row = self.db.execute(
            "SELECT count(DISTINCT c.key) FROM chunks c JOIN documents d ON d.id = c.document "
            "WHERE d.state = 1 AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.key = c.key)"
        ).fetchone()
        return int(row[0])

    def add_vectors(self, keys: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
        """Keep vectors at once: a killed build embeds nothing twice."""
        with self.transaction():
            rows = ((key, vector.astype("<f4").tobytes()) for key, vector in zip(keys, vectors, strict=True))
            self.db.executemany("INSERT OR REPLACE INTO vectors (key, vector) VALUES (?, ?)", rows)

    def publish_rows(self, removed: Iterable[str], touched: Sequence[Listed], skipped: Iterable[tuple[Listed, str]]) -> None:
        """Inside a transaction: staged documents replace live ones, `removed` leave, orphaned vectors go."""
        staged = [row[0] for row in self.db.execute("SELECT source FROM documents WHERE state = 1")]
        for source in [*removed, *staged]:
            self.db.execute(
                "DELETE FROM fulltext WHERE rowid IN (SELECT c.id FROM chunks c JOIN documents d ON d.id = c.document "
                "WHERE d.source = ? AND d.state = 0)",
                (source,),
            )
            self.db.execute("DELETE FROM documents WHERE source = ? AND state = 0", (source,))
        for number, source, title, text in self._staged():
            rows = self.db.execute('SELECT id, start, "end", heading, ordinal FROM chunks WHERE document = ?', (number,)).fetchall()
            self.db.executemany(
                "INSERT INTO fulltext (rowid, context, body) VALUES (?, ?, ?)",
                (
                    (chunk_id, Chunk(source, ordinal, start, end, "", title, heading, ()).context, text[start:end])
                    for chunk_id, start, end, heading, ordinal in rows
                ),
            )
        self.db.execute("UPDATE documents SET state = 0 WHERE state = 1")
        self.db.executemany(
            "UPDATE documents SET size = ?, mtime_ns = ? WHERE source = ? AND state = 0",
            ((listed.size, listed.mtime_ns, listed.source) for listed in touched),
        )
        self.db.execute("DELETE FROM skipped")
        self.db.executemany(
            "INSERT INTO skipped VALUES (?, ?, ?, ?)",
            ((listed.source, listed.size, listed.mtime_ns, reason) for listed, reason in skipped),
        )
        self.db.execute(
            "DELETE FROM vectors WHERE key IN (SELECT key FROM loose) "
            "AND NOT EXISTS (SELECT 1 FROM chunks c WHERE c.key = vectors.key)"
        )
        self.db.execute("DELETE FROM loose")


def _places(stored: str) -> tuple[tuple[int, str], ...]:
    return tuple((offset, name) for offset, name in json.loads(stored))


def _connect_reading(path: Path) -> sqlite3.Connection:
    """A read-only connection; where the folder itself is read-only, WAL's side files cannot be made and are not needed."""
    quoted = path.resolve().as_uri()
    connection = sqlite3.connect(f"{quoted}?mode=ro", uri=True, isolation_level=None, check_same_thread=False, timeout=30)
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        return connection
    except sqlite3.OperationalError:
        connection.close()
        if path.with_name(path.name + "-wal").exists():
            raise
        return sqlite3.connect(f"{quoted}?immutable=1", uri=True, isolation_level=None, check_same_thread=False)


def is_damage(error: Exception) -> bool:
    """Whether the file is bad; False when there is no room, no right to write, or another writer."""
    code = getattr(error, "sqlite_errorcode", None)  # text that is no UTF-8 has none
    return code is None or code & 0xFF not in NOT_THE_FILE


def damaged(path: Path, error: Exception) -> IndexDamaged:
    """The error to raise when SQLite cannot make sense of the file."""
    return IndexDamaged(f"the catalogue '{path}' cannot be read ({error}); rebuild it: rag build --fresh --index {path.parent}")


def _portions(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for i in range(0, len(items), AT_ONCE):
        yield items[i : i + AT_ONCE]


def _marks(items: Sequence[object]) -> str:
    return ",".join("?" * len(items))
