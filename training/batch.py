"""Groups of passages → padded tensors, and the loss on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from training.data import Group

CLS, SEP, MASK = 101, 102, 103
NO_ANSWERABILITY = frozenset({"policyqa"})


@dataclass(slots=True)
class Batch:
    """Padded inputs of whole groups; b passages, t tokens."""

    ids: Tensor
    types: Tensor
    mask: Tensor
    passage: Tensor
    """(b, t) bool: tokens that a span may hold."""
    golds: list[list[tuple[int, int]]]
    """gold spans in input positions, empty when the passage does not answer."""
    answerable: Tensor
    counted: Tensor
    """(b,) float: 0 where the answerability label means nothing."""
    groups: list[tuple[int, int]]
    """passages [first, past) of each group."""


def collate(groups: Sequence[Group], generator: torch.Generator | None = None, noise: float = 0.0) -> Batch:
    """Pad groups into one batch; `noise` is the share of non-answer passage tokens that are masked out."""
    rows: list[tuple[Tensor, int, int]] = []
    golds: list[list[tuple[int, int]]] = []
    labels: list[float] = []
    counted: list[float] = []
    ranges: list[tuple[int, int]] = []
    for group in groups:
        first = len(rows)
        for p in group.passages:
            head = [CLS, *group.question, SEP]
            at = len(head) + len(p.prefix)
            rows.append((torch.tensor([*head, *p.prefix, *p.ids.tolist(), SEP]), len(head), at))
            golds.append([(s + at, e + at) for s, e in p.spans])
            labels.append(float(p.answerable))
            counted.append(0.0 if group.source in NO_ANSWERABILITY else 1.0)
        ranges.append((first, len(rows)))
    longest = max(len(r[0]) for r in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    types, mask = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
    passage = torch.zeros_like(mask)
    for i, (row, second, at) in enumerate(rows):
        n = len(row)
        ids[i, :n], mask[i, :n] = row, True
        types[i, second:n] = 1
        passage[i, at : n - 1] = True
    if noise:
        hit = (torch.rand(ids.shape, generator=generator) < noise) & passage
        for i, spans in enumerate(golds):
            for s, e in spans:
                hit[i, s : e + 1] = False
        ids = ids.masked_fill(hit, MASK)
    return Batch(ids, types, mask, passage, golds, torch.tensor(labels), torch.tensor(counted), ranges)


def losses(tokens: Tensor, answerable: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Summed over passages (the caller divides): span likelihood with the null at `[CLS]`, answerability, ranking, tags."""
    allowed = batch.passage.clone()
    allowed[:, 0] = True
    start = tokens[..., 0].masked_fill(~allowed, -1e4).log_softmax(-1)
    end = tokens[..., 1].masked_fill(~allowed, -1e4).log_softmax(-1)
    inside = torch.zeros_like(start)
    terms = []
    for i, spans in enumerate(batch.golds):
        if spans:
            terms.append(-torch.stack([start[i, s] + end[i, e] for s, e in spans]).logsumexp(0))
            for s, e in spans:
                inside[i, s : e + 1] = 1.0
        else:
            terms.append(-0.5 * (start[i, 0] + end[i, 0]))
    span = torch.stack(terms).sum()
    judge = functional.binary_cross_entropy_with_logits(answerable, batch.answerable, batch.counted, reduction="sum")
    rank = answerable.new_zeros(())
    for first, past in batch.groups:
        labels = batch.answerable[first:past]
        if past - first > 1 and 0 < labels.sum() < past - first:
            rank = rank - (answerable[first:past].log_softmax(0) * labels).sum() / labels.sum()
    tag = functional.binary_cross_entropy_with_logits(tokens[..., 2], inside, reduction="none", pos_weight=tokens.new_tensor(3.0))
    tag = ((tag * batch.passage).sum(-1) / batch.passage.sum(-1)).sum()
    return {"span": span, "judge": judge, "rank": rank, "tag": tag}


WEIGHTS = {"span": 1.0, "judge": 0.7, "rank": 0.5, "tag": 0.5}
