"""Checkpoint → the folder that ships: python -m training.export --run DIR --encoder DIR --out rag/models/reader

Writes the averaged weights; the calibration that is there already stays (`training.evaluate --calibrate` refits it).
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from rag.spans import Features
from training.network import export

PLAIN = Features(*(float(name in ("answerable", "span")) for name in Features._fields))._asdict()
UNCALIBRATED = {"ranking": PLAIN, "confidence": PLAIN, "intercept": 0.0, "threshold": 0.5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--mean-with", type=Path, help="folder of another reader: write the mean of its weights and the run's")
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
    other = load_file(args.mean_with / "model.safetensors") if args.mean_with else {}
    export(state["average"], args.out, card)
    if other:
        path = args.out / "model.safetensors"
        mean = {name: ((tensor.float() + other[name].float()) / 2).half() for name, tensor in load_file(path).items()}
        save_file(mean, path, metadata={"format": "pt"})


if __name__ == "__main__":
    main()
