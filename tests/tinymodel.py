"""A small Llama, built and trained here: tokenizer, weights and chat format, as a folder that transformers loads like any other.

It learns by heart how answers look, a sentence and then a quote in brackets, from invented prompts over the seeds' text. What it
writes is fluent nonsense with quotes, mostly wrong ones: what the quote contract has to withstand.
"""

import random
import tempfile
from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

SEEDS = Path(__file__).parents[1] / "seeds"
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
SPECIAL = ["<|end|>", "<|user|>", "<|assistant|>"]
VOCABULARY = 1000
WINDOW = 256  # tokens of a training sample; at its end is the answer
STEPS = 120
BATCH = 8


def lines() -> list[str]:
    """Sentences of the seeds, each on one line, as they may be quoted."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(SEEDS.glob("*.txt")))
    cut = text.replace('"', "”").replace(". ", ".\n").split("\n")
    return [line.strip() for line in cut if 40 < len(line.strip()) < 300]


def example(known: list[str], dice: random.Random) -> tuple[str, str]:
    """A prompt with a few passages, and an answer that quotes them, mostly from memory."""
    passages = dice.sample(known, 3)
    prompt = "".join(f"[{n}] {text}\n" for n, text in enumerate(passages, 1))
    answer = []
    for _ in range(2):
        number = dice.randint(1, 3)
        words = dice.choice(known).split()
        at = dice.randrange(max(1, len(words) - 8))
        quoted = " ".join(words[at : at + 8])
        answer.append(f'{" ".join(words[:8])}. [{number} "{quoted}"]')
    return f"{prompt}\nQuestion: {dice.choice(known)}", " ".join(answer)


@cache
def tiny_model() -> Path:
    """The folder of the trained model; made once in a run of the tests."""
    logging.disable_progress_bar()
    known, dice = lines(), random.Random(0)
    examples = [example(known, dice) for _ in range(400)]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([f"{prompt}\n{answer}" for prompt, answer in examples], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|end|>", pad_token="<|end|>", extra_special_tokens=SPECIAL[1:]
    )
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer) + 24,  # models have spare rows
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    train(model, tokenizer, examples, dice)
    folder = Path(tempfile.mkdtemp(prefix="tiny-llama-"))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def train(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, examples: list[tuple[str, str]], dice: random.Random
) -> None:
    """A few seconds of next-token training on whole samples."""
    rows = []
    for prompt, answer in examples:
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        ids = tokenizer(tokenizer.apply_chat_template(turns, tokenize=False), add_special_tokens=False)["input_ids"]
        rows.append(ids[-WINDOW:])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1.0, (STEPS - step) / (STEPS / 2))
        batch = dice.sample(rows, BATCH)
        width = max(map(len, batch))
        ids = torch.full((BATCH, width), tokenizer.pad_token_id)
        labels = torch.full((BATCH, width), -100)
        for i, row in enumerate(batch):
            ids[i, : len(row)] = labels[i, : len(row)] = torch.tensor(row)
        loss = model(input_ids=ids, attention_mask=(labels != -100).long(), labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
