"""Prepare the data and train the reader: python -m training.train --data DIR --encoder DIR --out DIR

Resumes from the last checkpoint in --out. The learning rate falls linearly to zero at --steps, or at --minutes of
wall clock if that comes first.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped]
from tokenizers import Tokenizer

from rag.bert import WORDS
from rag.evaluation.metrics import f1
from training.batch import WEIGHTS, collate, losses
from training.data import OWN, Builder, Corpus, Group, Passage
from training.mine import mine
from training.network import Network, from_bert

log = logging.getLogger("training")

TOKENS_PER_GROUP = {
    "synthetic": 300, "collections": 235, "qamr": 116, "fairytaleqa": 233, "policyqa": 90, "covidqa": 330, "written": 300
}  # fmt: skip
EARLY = {  # shares of the tokens in the first 30 % of the time, and after it
    "synthetic": 0.27, "collections": 0.03, "qamr": 0.40, "fairytaleqa": 0.12, "policyqa": 0.06, "covidqa": 0.12, "written": 0.0
}  # fmt: skip
LATE = {
    "synthetic": 0.46, "collections": 0.06, "qamr": 0.10, "fairytaleqa": 0.05, "policyqa": 0.01, "covidqa": 0.06, "written": 0.26
}  # fmt: skip
SOURCES = list(EARLY)


def embedder(network: Network, tokenizer: Tokenizer) -> Any:
    """The untouched encoder as a text → unit vector function (mean over tokens), for mining."""

    def embed(texts: list[str]) -> npt.NDArray[np.float32]:
        ids = [[101, *e.ids[:200], 102] for e in tokenizer.encode_batch(texts, add_special_tokens=False)]
        out = np.zeros((len(ids), 384), dtype=np.float32)
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        for start in range(0, len(order), 32):
            part = order[start : start + 32]
            longest = max(len(ids[i]) for i in part)
            batch = torch.tensor([ids[i] + [0] * (longest - len(ids[i])) for i in part])
            mask = batch != 0
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                hidden = network.encode(batch, torch.zeros_like(batch), mask).float()
            mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            out[part] = torch.nn.functional.normalize(mean, dim=-1).numpy()
        return out

    return embed


def dev_groups(builder: Builder, corpus: Corpus) -> list[Group]:
    """Dev questions, each with one passage: a window around the answer, or the likeliest window for a near miss."""
    out = []
    for source in sorted(corpus.dev):
        questions = corpus.dev[source]
        if source not in OWN:
            questions = questions[:: max(1, len(questions) // 120)][:120]
        for n, q in enumerate(questions):
            rng = np.random.default_rng([7, n])
            text = corpus.texts[q.text]
            p = builder.around(text, q.spans, 170, rng) if q.spans else builder.near(text, q.question, 170, rng)
            out.append(Group(source, builder.ids(q.question)[:64], [p]))
    return out


def evaluate(network: Network, groups: list[Group], tokenizer: Tokenizer) -> dict[str, float]:
    """Span F1 by source on answerable passages; AUC of the answerability logit on the project's own sets."""
    order = sorted(range(len(groups)), key=lambda i: len(groups[i].passages[0].ids))
    scores: dict[str, list[float]] = {}
    logits: list[float] = []
    labels: list[bool] = []
    for start in range(0, len(order), 16):
        part = [groups[i] for i in order[start : start + 16]]
        batch = collate(part)
        with torch.inference_mode():
            tokens, answerable = network(batch.ids, batch.types, batch.mask)
        for i, group in enumerate(part):
            p: Passage = group.passages[0]
            if group.source in OWN:
                logits.append(float(answerable[i]))
                labels.append(p.answerable)
            if not p.answerable:
                continue
            where = batch.passage[i].nonzero()[:, 0]
            pair = tokens[i, where, 0][:, None] + tokens[i, where, 1][None, :]
            ok = torch.ones_like(pair, dtype=torch.bool).triu().tril(39)
            best = int(pair.masked_fill(~ok, -1e9).argmax())
            s, e = divmod(best, len(where))
            said = tokenizer.decode(p.ids[s : e + 1].tolist())
            golds = [tokenizer.decode(p.ids[a : b + 1].tolist()) for a, b in p.spans]
            scores.setdefault(group.source, []).append(max(f1(said, gold) for gold in golds))
    out = {f"f1/{k}": float(np.mean(v)) for k, v in sorted(scores.items())}
    return out | {"auc": float(roc_auc_score(labels, logits))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with public, synthetic, collections .jsonl.gz")
    parser.add_argument("--encoder", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--out", type=Path, required=True, help="checkpoints and log")
    parser.add_argument("--start", type=Path, help="folder of an exported reader to go on from; default: the encoder")
    parser.add_argument("--steps", type=int, default=5200)
    parser.add_argument("--minutes", type=float, default=1e9, help="finish by this much wall clock")
    parser.add_argument("--tokens", type=int, default=4800, help="per step")
    parser.add_argument("--micro", type=int, default=1500, help="padded tokens per forward pass")
    parser.add_argument("--rate", type=float, default=2e-4)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--every", type=float, default=8.0, help="minutes between checkpoints")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.StreamHandler(), logging.FileHandler(args.out / "train.log")]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    began = time.monotonic()

    tokenizer = Tokenizer.from_file(str(args.encoder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    network = Network()
    encoder = load_file(args.encoder / "model.safetensors")
    network.load_state_dict(network.state_dict() | from_bert(encoder))
    corpus = Corpus.load(args.data, tokenizer)
    log.info("train %s", {k: len(v) for k, v in corpus.train.items()})
    mine(corpus, embedder(network.eval(), tokenizer))
    if args.start:
        trained = {name: tensor.float() for name, tensor in load_file(args.start / "model.safetensors").items()}
        network.load_state_dict(network.state_dict() | from_bert({**trained, WORDS: encoder[WORDS]}))
    builder = Builder(corpus, tokenizer, args.seed)
    dev = dev_groups(builder, corpus)
    log.info("data ready after %.0f s; %d dev questions", time.monotonic() - began, len(dev))

    names = [n for n, p in network.named_parameters() if p.requires_grad]
    master = {n: p.detach().clone().requires_grad_() for n, p in network.named_parameters() if p.requires_grad}
    average = {n: p.detach().clone() for n, p in master.items()}
    head = [n for n in names if n.split(".")[0] in ("tokens", "pool", "answerable")]
    flat = [n for n in names if n not in head and master[n].ndim == 1]
    body = [n for n in names if n not in head and n not in flat]
    optimizer = torch.optim.AdamW(
        [
            {"params": [master[n] for n in body], "weight_decay": 0.01, "peak": args.rate},
            {"params": [master[n] for n in flat], "weight_decay": 0.0, "peak": args.rate},
            {"params": [master[n] for n in head], "weight_decay": 0.0, "peak": 3 * args.rate},
        ],
        lr=0.0,
        betas=(0.9, 0.98),
        fused=True,
    )
    step, spent, drawn, seen = 0, 0.0, 0, 0
    visits = dict.fromkeys(SOURCES, 0)
    checkpoint = args.out / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        for n in names:
            master[n].data.copy_(state["master"][n])
            average[n].copy_(state["average"][n])
        optimizer.load_state_dict(state["optimizer"])
        step, spent, drawn, seen, visits = state["step"], state["spent"], state["drawn"], state["seen"], state["visits"]
        log.info("resumed at step %d after %.1f minutes", step, spent / 60)
    network = network.bfloat16().train()
    live: list[torch.Tensor] = [dict(network.named_parameters())[n] for n in names]
    order = [master[n] for n in names]
    means = [average[n] for n in names]
    for m in order:
        m.grad = torch.zeros_like(m)
    grads = [m.grad for m in order if m.grad is not None]
    shown: dict[str, float] = {}
    counted = 0
    started = time.monotonic() - spent
    last_save = last_log = time.monotonic()

    def load(values: list[torch.Tensor]) -> None:
        with torch.no_grad():
            torch._foreach_copy_(live, values)

    def save() -> None:
        load(means)
        network.eval()
        log.info("dev %s", json.dumps({k: round(v, 4) for k, v in evaluate(network, dev, tokenizer).items()}))
        network.train()
        load([o.detach() for o in order])
        torch.save(
            {
                "master": {n: m.detach() for n, m in master.items()},
                "average": average,
                "optimizer": optimizer.state_dict(),
                "step": step,
                "spent": time.monotonic() - started,
                "drawn": drawn,
                "seen": seen,
                "visits": visits,
            },
            checkpoint.with_suffix(".new"),
        )
        checkpoint.with_suffix(".new").replace(checkpoint)

    load([o.detach() for o in order])
    while True:
        progress = max(step / args.steps, (time.monotonic() - started) / 60 / args.minutes)
        if progress >= 1:
            break
        rate = min(progress / 0.05, (1 - progress) / 0.95)
        share = EARLY if progress < 0.3 else LATE
        weights = np.array([share[s] / TOKENS_PER_GROUP[s] if s in corpus.train else 0.0 for s in SOURCES])
        groups: list[Group] = []
        size = 0
        rng = np.random.default_rng([args.seed, step])
        while size < args.tokens:
            source = SOURCES[int(rng.choice(len(SOURCES), p=weights / weights.sum()))]
            group = builder.group(source, visits[source])
            visits[source] += 1
            groups.append(group)
            size += sum(len(p.ids) + len(p.prefix) + len(group.question) + 3 for p in group.passages)
        groups.sort(key=lambda g: max(len(p.ids) + len(p.prefix) for p in g.passages))
        micros: list[list[Group]] = [[]]
        for group in groups:
            longest = max(len(p.ids) + len(p.prefix) + len(group.question) + 3 for p in group.passages)
            if micros[-1] and longest * (sum(len(g.passages) for g in micros[-1]) + len(group.passages)) > args.micro:
                micros.append([])
            micros[-1].append(group)
        passages = sum(len(g.passages) for g in groups)
        generator = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        for g in grads:
            g.zero_()
        for micro in micros:
            batch = collate(micro, generator, noise=0.03)
            tokens, answerable = network(batch.ids, batch.types, batch.mask)
            parts = losses(tokens, answerable, batch)
            loss = torch.stack([WEIGHTS[k] * v for k, v in parts.items()]).sum() / passages
            loss.backward()  # type: ignore[no-untyped-call]
            torch._foreach_add_(grads, [p.grad.float() for p in live if p.grad is not None])
            network.zero_grad(set_to_none=True)
            for k, v in parts.items():
                shown[k] = shown.get(k, 0.0) + float(v.detach())
        counted += passages
        seen += size
        drawn += len(groups)
        torch.nn.utils.clip_grads_with_norm_(order, 1.0, torch.nn.utils.get_total_norm(grads))
        for part in optimizer.param_groups:
            part["lr"] = part["peak"] * rate
        optimizer.step()
        load([o.detach() for o in order])
        step += 1
        decay = min(0.999, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(means, [o.detach() for o in order], 1 - decay)
        now = time.monotonic()
        if now - last_log > 30:
            log.info(
                "step %d progress %.3f rate %.2e %s | %.0f s, %.2fM tokens, %d questions",
                step,
                progress,
                rate * args.rate,
                " ".join(f"{k} {v / counted:.3f}" for k, v in shown.items()),
                now - started,
                seen / 1e6,
                drawn,
            )
            shown, counted, last_log = {}, 0, now
        if now - last_save > args.every * 60:
            save()
            last_save = time.monotonic()
    save()
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    minutes = (time.monotonic() - started) / 60
    log.info("done: step %d, %.1f minutes, visits %s, checkpoint sha256 %s", step, minutes, visits, digest)


if __name__ == "__main__":
    main()
