"""Figures of merit: SQuAD's normalised F1 and exact match, and the expected calibration error."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """SQuAD's: lower case, no punctuation, no articles, single spaces."""
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(_PUNCTUATION)).split())


def f1(said: str, gold: str) -> float:
    """Word overlap F1 after normalisation."""
    a, b = normalise(said).split(), normalise(gold).split()
    if not a or not b:
        return float(a == b)
    common = sum((Counter(a) & Counter(b)).values())
    return 2 * common / (len(a) + len(b))


def exact(said: str, gold: str) -> float:
    """1.0 when equal after normalisation."""
    return float(normalise(said) == normalise(gold))


def calibration_error(probabilities: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """Expected calibration error over equal-width bins."""
    p, y = np.asarray(probabilities), np.asarray(right, dtype=float)
    which = np.minimum((p * bins).astype(int), bins - 1)
    gaps = [abs(p[which == b].sum() - y[which == b].sum()) for b in range(bins)]
    return float(sum(gaps)) / len(p)
