"""Dense search: a FAISS file derived from the vectors in the catalogue, and what has changed since it was written.

A chunk's id is never used twice, so a file once written is never wrong, only behind: chunks have come and gone. A reader makes
up the difference from the catalogue; a build writes the file anew when the difference has grown. Search is exact up to
`APPROXIMATE_FROM` vectors, and by lists of neighbours (IVF) above.
"""

import logging
from collections.abc import Sequence
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rag.catalog import Catalog
from rag.embeddings import Vectors
from rag.errors import RagError

if TYPE_CHECKING:
    import faiss

log = logging.getLogger("rag")

Ids = NDArray[np.int64]
NO_IDS: Ids = np.empty(0, dtype=np.int64)

BEHIND = 0.1  # share of the file's vectors that may have come or gone before it is written anew
AT_ONCE = 16384  # vectors taken from the catalogue together

APPROXIMATE_FROM = 200_000  # vectors
LISTS = 1024
PROBES = 64  # lists searched
SAMPLES = 64  # vectors for each list, from which its centre is learnt
SEED = 1


class DenseIndex:
    """Inner-product search over the vectors of one generation."""

    def __init__(self, base: "faiss.Index", gone: Ids, added: "faiss.Index", generation: int) -> None:
        self.base = base
        self.gone = gone  # ids in the base that the catalogue has no more
        self.added = added  # what has come since the base was written
        self.generation = generation

    @classmethod
    def open(cls, folder: Path, catalog: Catalog) -> "DenseIndex":
        """The generation in the catalogue's present snapshot: from the file when that is whole, else from the vectors."""
        import faiss

        meta = catalog.meta()
        generation, dimension = int(meta["generation"]), int(meta["dimension"])
        path = folder / file_name(meta)
        live = catalog.live_ids()
        if not whole(folder, meta):
            log.warning("'%s' is missing or damaged; using the vectors in the catalogue (rag build writes it again)", path)
            return cls(_index_of(catalog, live, dimension), NO_IDS, _exact(catalog, NO_IDS, dimension), generation)
        base = faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)  # lists are mapped, not read
        held = _ids(base)
        gone, came = np.setdiff1d(held, live), np.setdiff1d(live, held)
        return cls(base, gone, _exact(catalog, came, dimension), generation)

    def search(self, question: Vectors, limit: int, among: Sequence[int] | None = None) -> list[tuple[int, float]]:
        """(chunk id, cosine), best first, for one question vector of shape (dimension,).

        `among` limits the ids to live ones, which are then searched exactly, however many vectors there are.
        """
        found = []
        for index in (self.base, self.added):
            if index.ntotal:  # of an empty one even the dimension is not known
                scores, ids = index.search(question[None, :], limit, params=self._parameters(index, among))
                found += [(int(number), float(score)) for number, score in zip(ids[0], scores[0], strict=True) if number >= 0]
        return sorted(found, key=lambda item: (-item[1], item[0]))[:limit]

    def _parameters(self, index: "faiss.Index", among: Sequence[int] | None) -> "faiss.SearchParameters | None":
        import faiss

        selector: faiss.IDSelector | None = None
        if among is not None:
            selector = faiss.IDSelectorBatch(np.asarray(among, dtype=np.int64))
        elif len(self.gone) and index is self.base:
            selector = faiss.IDSelectorNot(faiss.IDSelectorBatch(self.gone))
        if isinstance(index, faiss.IndexIVF):
            probes = PROBES if among is None else index.nlist
            return faiss.SearchParametersIVF(sel=selector, nprobe=probes)  # type: ignore[call-arg]  # FAISS's stubs lack them
        return faiss.SearchParameters(sel=selector) if selector is not None else None  # type: ignore[call-arg]


def write(folder: Path, catalog: Catalog, generation: int) -> None:
    """Write the file of a generation, beside the old one, within the catalogue's transaction, which keeps its hash.

    Raises RagError when there is no room; the index as it was still answers.
    """
    import faiss

    dimension = catalog.dimension() or 1  # FAISS wants one, also over an empty folder
    live = catalog.live_ids()
    index = _index_of(catalog, live, dimension)
    news = {
        "dimension": str(dimension),
        "faiss_generation": str(generation),
        "faiss_vectors": str(len(live)),
        "faiss_last": str(live.max(initial=0)),
    }
    path = folder / file_name(news)
    temporary = path.with_suffix(".tmp")
    digest = sha256()
    try:
        with temporary.open("wb") as file:

            def keep(data: bytes) -> None:
                file.write(data)
                digest.update(data)

            # No second copy in memory, and the disk's own errors.
            faiss.write_index(index, faiss.PyCallbackIOWriter(keep))  # type: ignore[attr-defined]
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RagError(
            f"the index in '{folder}' could not be written: {error.strerror}; the index as it was still answers"
        ) from error
    catalog.set_meta({**news, "faiss_sha256": digest.hexdigest()})


def is_behind(catalog: Catalog, meta: dict[str, str]) -> bool:
    """Whether so much has come and gone since the file was written that it is worth writing anew."""
    held = int(meta.get("faiss_vectors", "0"))
    live = catalog.live_ids()
    came = int((live > int(meta.get("faiss_last", "0"))).sum())  # ids ascend, and a build publishes all that it has staged
    gone = held - (len(live) - came)
    return came + gone > BEHIND * held


def whole(folder: Path, meta: dict[str, str]) -> bool:
    """Whether the file that the catalogue names is there, whole (FAISS must never parse a damaged file)."""
    try:
        with (folder / file_name(meta)).open("rb") as file:
            return file_digest(file, "sha256").hexdigest() == meta.get("faiss_sha256")
    except OSError:
        return False


def file_name(meta: dict[str, str]) -> str:
    """Name of the file that the catalogue names: that of the generation in which it was written."""
    return f"dense-{meta.get('faiss_generation', '0')}.faiss"


def remove_others(folder: Path, meta: dict[str, str]) -> None:
    """Delete all files but the one the catalogue names; a reader that still has one open keeps it until it closes it."""
    for file in folder.glob("dense-*.faiss"):
        if file.name != file_name(meta):
            file.unlink(missing_ok=True)


def _index_of(catalog: Catalog, ids: Ids, dimension: int) -> "faiss.Index":
    return (_exact if len(ids) < APPROXIMATE_FROM else _approximate)(catalog, ids, dimension)


def _exact(catalog: Catalog, ids: Ids, dimension: int) -> "faiss.Index":
    import faiss

    return _fill(faiss.IndexIDMap(faiss.IndexFlatIP(dimension)), catalog, ids, dimension)


def _approximate(catalog: Catalog, ids: Ids, dimension: int) -> "faiss.Index":
    """Search by lists of neighbours."""
    sample = np.random.default_rng(SEED).choice(ids, min(len(ids), LISTS * SAMPLES), replace=False)
    return _fill(train_lists(catalog.vectors(np.sort(sample), dimension)), catalog, ids, dimension)


def train_lists(sample: Vectors) -> "faiss.IndexIVFFlat":
    """An empty index of `LISTS` lists, around centres learnt from a sample of shape (n, dimension): always the same ones."""
    import faiss

    dimension = sample.shape[1]
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dimension), dimension, LISTS, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = SEED
    index.cp.max_points_per_centroid = SAMPLES
    index.train(sample)
    return index


def _fill(index: "faiss.Index", catalog: Catalog, ids: Ids, dimension: int) -> "faiss.Index":
    """The index with these vectors in it, in order of id; a portion at a time, as all together are too many to hold twice."""
    for at in range(0, len(ids), AT_ONCE):
        some = ids[at : at + AT_ONCE]
        index.add_with_ids(catalog.vectors(some, dimension), some)
    return index


def _ids(index: "faiss.Index") -> Ids:
    """Ids of the vectors that an index holds."""
    import faiss

    if not isinstance(index, faiss.IndexIVF):
        return np.asarray(faiss.vector_to_array(index.id_map), dtype=np.int64)  # type: ignore[attr-defined]
    lists: Any = index.invlists
    held = [faiss.rev_swig_ptr(lists.get_ids(i), lists.list_size(i)).copy() for i in range(index.nlist) if lists.list_size(i)]
    return np.concatenate(held) if held else NO_IDS
