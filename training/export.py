"""Checkpoint → the folder that ships: python -m training.export --run DIR --encoder DIR --out rag/models/reader

Writes the averaged weights; the calibration that is there already stays (`training.evaluate --calibrate` refits it).
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import torch

from rag.crossencoder import export

UNCALIBRATED = {"answerable": 1.0, "span": 0.2, "similarity": 0.0, "slope": 1.0, "intercept": 0.0, "threshold": 0.5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    state = torch.load(args.run / "checkpoint.pt", weights_only=True)
    before = args.out / "reader.json"
    card = {
        "encoder_sha256": hashlib.sha256((args.encoder / "model.safetensors").read_bytes()).hexdigest(),
        "window": 256,
        "stride": 64,
        "batch_tokens": 1600,
        "steps": state["step"],
        "calibration": json.loads(before.read_text())["calibration"] if before.exists() else UNCALIBRATED,
    }
    export(state["average"], args.out, card)


if __name__ == "__main__":
    main()
