"""Dense search: a FAISS index, derived from the vectors in the catalogue and made again whenever it doesn't match them."""

import logging
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rag.catalog import Catalog
from rag.embeddings import Vectors
from rag.errors import RagError

if TYPE_CHECKING:
    import faiss

log = logging.getLogger("rag")


class DenseIndex:
    """Exact inner-product search over the vectors of one generation."""

    def __init__(self, dense: "faiss.Index", generation: int) -> None:
        self.dense = dense
        self.generation = generation

    @classmethod
    def open(cls, folder: Path, catalog: Catalog) -> "DenseIndex":
        """The generation in the catalogue's present snapshot: from its file when that is whole, else from the vectors."""
        import faiss

        meta = catalog.meta()
        generation = int(meta["generation"])
        path = folder / file_name(generation)
        if whole(folder, meta):
            return cls(faiss.deserialize_index(np.fromfile(path, dtype=np.uint8)), generation)
        log.warning("'%s' is missing or damaged; using the vectors in the catalogue (rag build writes it again)", path)
        dimension = int(meta["dimension"])
        return cls(_fill(*catalog.vectors(dimension), dimension), generation)

    def search(self, question: Vectors, limit: int, among: Sequence[int] | None = None) -> list[tuple[int, float]]:
        """(chunk id, cosine), best first, for one question vector of shape (dimension,); `among` limits the ids."""
        import faiss

        if not self.dense.ntotal:  # nothing is indexed, and the dimension is not known
            return []
        parameters = None
        if among is not None:
            parameters = faiss.SearchParameters()
            parameters.sel = faiss.IDSelectorBatch(np.asarray(among, dtype=np.int64))
        scores, ids = self.dense.search(question[None, :], limit, params=parameters)
        return [(int(number), float(score)) for number, score in zip(ids[0], scores[0], strict=True) if number >= 0]


def write(folder: Path, catalog: Catalog, generation: int) -> None:
    """Write the file of a generation, beside the old one, within the catalogue's transaction, which keeps its hash.

    Raises RagError when there is no room; the index as it was still answers.
    """
    import faiss

    dimension = catalog.dimension() or 1  # FAISS wants one, also over an empty folder
    data = faiss.serialize_index(_fill(*catalog.vectors(dimension), dimension)).tobytes()
    path = folder / file_name(generation)
    temporary = path.with_suffix(".tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RagError(
            f"the index in '{folder}' could not be written: {error.strerror}; the index as it was still answers"
        ) from error
    catalog.set_meta({"faiss_sha256": sha256(data).hexdigest(), "dimension": str(dimension)})


def remove_others(folder: Path, generation: int) -> None:
    """Delete the files of all other generations; a reader that still has one open has read it into memory."""
    for file in folder.glob("dense-*.faiss"):
        if file.name != file_name(generation):
            file.unlink(missing_ok=True)


def _fill(ids: NDArray[np.int64], vectors: Vectors, dimension: int) -> "faiss.IndexIDMap":
    import faiss

    dense = faiss.IndexIDMap(faiss.IndexFlatIP(dimension))
    if len(ids):
        dense.add_with_ids(vectors, ids)
    return dense


def file_name(generation: int) -> str:
    """Name of the file that holds a generation."""
    return f"dense-{generation}.faiss"


def whole(folder: Path, meta: dict[str, str]) -> bool:
    """Whether the file of this generation is there, whole (FAISS must never parse a damaged file)."""
    path = folder / file_name(int(meta.get("generation", "0")))
    try:
        return sha256(path.read_bytes()).hexdigest() == meta.get("faiss_sha256")
    except OSError:
        return False
