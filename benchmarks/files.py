"""Many small files: `python -m benchmarks.files [--files 100000]`. Time of the first build, of one that finds no change, of listing
alone, and memory. Vectors are made, since what is measured is the folder.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.corpus import MadeEncoder
from rag.embeddings import open_encoder
from rag.folder import list_files
from rag.index import build_index

A_FOLDER = 500  # files
DIMENSION = 384


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=100_000)
    options = parser.parse_args()
    made = np.random.default_rng(1).standard_normal((1000, DIMENSION)).astype(np.float32)
    encoder = MadeEncoder(open_encoder(None), made / np.linalg.norm(made, axis=1, keepdims=True))
    with tempfile.TemporaryDirectory() as name:
        sources, index = Path(name) / "files", Path(name) / "index"
        for number in range(options.files):
            folder = sources / f"{number // A_FOLDER:04}"
            if number % A_FOLDER == 0:
                folder.mkdir(parents=True)
            (folder / f"{number:06}.txt").write_text(f"Note {number}: shelf {number % 97} holds {number * 7 % 1009} boxes.\n")
        built = build_index(sources, index, encoder=encoder)
        began = time.perf_counter()
        listed, _ = list_files(sources)
        listing = time.perf_counter() - began
        unchanged = build_index(sources, index, encoder=encoder)
        (sources / "0000" / "000007.txt").write_text("Note 7 is another one now.\n")
        changed = build_index(sources, index, encoder=encoder)
    print(
        json.dumps(
            {
                "files": len(listed),
                "build_s": round(built.seconds, 1),
                "listing_s": round(listing, 2),
                "no_change_s": round(unchanged.seconds, 2),
                "one_file_changed_s": round(changed.seconds, 2),
                "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            }
        )
    )


if __name__ == "__main__":
    main()
