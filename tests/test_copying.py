"""Inside a quote only the passage's words can be written, whatever the tokens, whatever the model."""

import random
import re
from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinymodel import lines, tiny_model
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from rag.copying import LONGEST, Copying, Passage, Vocabulary, token_bytes
from rag.errors import ModelError
from rag.generators import Limits, LocalModel

QUOTE = re.compile(r'\[ ?(\d+) ?[:,]? ?"([^"]*)("?)')  # also one that is cut off
BYTES = [bytes([byte]) for byte in range(256)]


@cache
def model() -> LocalModel:
    return LocalModel.load(str(tiny_model()), context=4096)


def quoted(passages: Sequence[str], text: str) -> list[tuple[str, bool]]:
    """What a text quotes, and whether the passage that it names holds it."""
    flat = [" ".join(passage.split()).replace('"', "”") for passage in passages]
    found = []
    for match in QUOTE.finditer(text):
        number = int(match[1])
        found.append((match[2], 1 <= number <= len(flat) and match[2] in flat[number - 1]))
    return found


# --- the tokens of a tokenizer ----------------------------------------------------------------------------------------


@given(st.text())
def test_tokens_of_the_byte_kind_spell_the_text(text: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model(), local_files_only=True)
    spelt = token_bytes(tokenizer)
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert b"".join(spelt[i] or b"" for i in ids) == text.encode()


def test_special_tokens_spell_nothing() -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model(), local_files_only=True)
    assert token_bytes(tokenizer)[tokenizer.eos_token_id] is None


def test_tokens_of_the_sentencepiece_kind_spell_the_text() -> None:
    pieces = ["<unk>", "▁", "a", "b", "▁ab", *(f"<0x{byte:02X}>" for byte in range(256))]
    backend = Tokenizer(
        models.BPE({piece: i for i, piece in enumerate(pieces)}, [], byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    )
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    spelt = token_bytes(tokenizer)
    assert spelt[4] == b" ab"
    assert b"".join(spelt[i] or b"" for i in tokenizer("ab é 日", add_special_tokens=False)["input_ids"]) == "ab é 日".encode()


def test_a_tokenizer_that_cannot_be_checked_is_refused() -> None:
    backend = Tokenizer(models.WordPiece({"[UNK]": 0, "word": 1}, unk_token="[UNK]"))
    backend.decoder = decoders.WordPiece()
    with pytest.raises(ModelError, match="cannot be checked while they are written"):
        token_bytes(PreTrainedTokenizerFast(tokenizer_object=backend))


# --- what may come next -----------------------------------------------------------------------------------------------


def write(copying: Copying, text: str) -> None:
    """Go on by a text, each byte a token of its own."""
    for byte in text.encode():
        copying.write(byte)


def next_bytes(copying: Copying) -> str | None:
    allowed = copying.allowed()
    return None if allowed is None else "".join(sorted(bytes(allowed).decode("latin-1")))


def test_outside_of_citations_everything_may_come() -> None:
    copying = Copying(Vocabulary(BYTES), ["one two"])
    for text in ("Say", ' "free" ', "[a", "] [", "x3"):
        write(copying, text)
        assert copying.allowed() is None


def test_a_citation_is_held_to_its_form() -> None:
    copying = Copying(Vocabulary(BYTES), ["one two"] * 12)
    write(copying, "So. [1")
    assert next_bytes(copying) == ' "012'  # also passages 10 to 12
    write(copying, "2")
    assert next_bytes(copying) == ' "'
    write(copying, " ")
    assert next_bytes(copying) == '"'
    write(copying, '"')
    assert next_bytes(copying) == "ot"  # the first letter of a word
    write(copying, "on")
    assert next_bytes(copying) == "e"  # a word is not cut
    write(copying, "e")
    assert next_bytes(copying) == ' "'
    write(copying, " two")
    assert next_bytes(copying) == '"'
    write(copying, '"')
    assert next_bytes(copying) == "]"
    write(copying, "]")
    assert copying.allowed() is None


@pytest.mark.parametrize("head", ["[3", "[0", "[01", "[2023", "[ 9"])
def test_a_passage_that_is_not_there_cannot_be_quoted(head: str) -> None:
    copying = Copying(Vocabulary(BYTES), ["one", "two"])
    write(copying, head)
    assert next_bytes(copying) == "]"


def test_only_the_named_passage_may_be_quoted() -> None:
    copying = Copying(Vocabulary(BYTES), ["one", "two"])
    write(copying, '[2 "')
    assert next_bytes(copying) == "t"


def test_a_repeated_word_leaves_both_ways_open() -> None:
    copying = Copying(Vocabulary(BYTES), ["the cat and the dog"])
    write(copying, '[1 "the ')
    assert next_bytes(copying) == '"cd'


def test_tokens_that_reach_over_the_border_of_a_quote() -> None:
    tokens = [*BYTES, b'"one', b'"ono', b' "one two', b'two"', b'two"]', b'two"x', b'1 "o', b'"]. So [1']
    copying = Copying(Vocabulary(tokens), ["one two"])
    assert copying.vocabulary.barred == [tokens.index(b'1 "o')]
    write(copying, "[1")
    allowed = copying.allowed() or []
    assert {tokens[i] for i in allowed if i > 255} == {b'"one', b' "one two'}
    copying.write(tokens.index(b'"one'))
    write(copying, " ")
    assert {tokens[i] for i in copying.allowed() or [] if i > 255} == {b'two"', b'two"]', b'"]. So [1'}
    copying.write(tokens.index(b'two"]'))
    assert copying.allowed() is None
    write(copying, ' [1 "one')
    copying.write(tokens.index(b'"]. So [1'))
    assert {tokens[i] for i in copying.allowed() or []} == {b" ", b'"', b'"one', b' "one two'}  # of the next citation


def test_a_quote_that_grows_too_long_is_closed() -> None:
    copying = Copying(Vocabulary(BYTES), ["word " * 200])
    write(copying, '[1 "' + "word " * (LONGEST // 5) + "word")
    assert next_bytes(copying) == '"'


def test_an_empty_quote_cannot_be_written() -> None:
    copying = Copying(Vocabulary(BYTES), ["«one»"])
    write(copying, '[1 "')
    assert '"' not in (next_bytes(copying) or "")


def test_a_passage_of_foreign_characters_ends_the_turn() -> None:
    """A vocabulary without bytes cannot go on with a character that it doesn't have."""
    copying = Copying(Vocabulary([b'[1 "'[i : i + 1] for i in range(4)] + [b"a", b"]"]), ["a日"])
    for token in (0, 1, 2, 3, 4):
        copying.write(token)
    assert copying.allowed() == []


def test_spare_tokens_of_a_model_write_nothing() -> None:
    copying = Copying(Vocabulary(BYTES), ["one"])
    copying.write(99_999)
    assert copying.tail == b""


def test_straight_quote_marks_and_white_space_of_a_passage_are_evened() -> None:
    assert Passage('He said\n\t"yes".').bytes.decode() == "He said ”yes”."


@given(
    passages=st.lists(st.text(min_size=1, max_size=80), min_size=1, max_size=3),
    tokens=st.lists(st.text(alphabet='ab "][1.é\n', min_size=1, max_size=4), max_size=30),
    seed=st.integers(0, 1_000_000),
)
def test_whatever_is_written_a_quote_is_verbatim(passages: list[str], tokens: list[str], seed: int) -> None:
    """A model that chooses at random among what it may, over any tokens, ever eager to quote."""
    dice = random.Random(seed)
    own = [piece.encode() for text in passages for piece in re.findall(r"\S{1,3}|\s", text)]
    spelt = [*BYTES, *(token.encode() for token in tokens), *own]
    copying = Copying(Vocabulary(spelt), passages)
    written = b""
    for _ in range(60):
        allowed = copying.allowed()
        if allowed is None:
            opening = b"[1" if dice.random() < 0.5 else b'[023" '
            allowed = [*opening, *(i for i in range(256, len(spelt)) if i not in copying.vocabulary.barred)]
        if not allowed:
            break
        token = dice.choice(allowed)
        copying.write(token)
        written += spelt[token]
    text = written.decode(errors="ignore")  # the last character may not be whole
    assert [words for words, held in quoted(passages, text) if not held] == []


# --- a real model -----------------------------------------------------------------------------------------------------


def generations(count: int, *, constrained: bool) -> list[tuple[str, bool]]:
    """All quotes in so many texts of the model, half of them the likeliest, half of them thrown."""
    known, writer = lines(), model()
    found: list[tuple[str, bool]] = []
    writer.constrained = constrained
    try:
        for n in range(count):
            passages = random.Random(n).sample(known, 3)
            prompt = "".join(f"[{i}] {text}\n" for i, text in enumerate(passages, 1)) + f"\nQuestion: {known[n % len(known)]}"
            limits = Limits(tokens=60, seconds=60, temperature=float(n % 2), seed=n)
            found += quoted(passages, "".join(writer.write(prompt, passages, limits)))
    finally:
        writer.constrained = True
    return found


def test_in_200_texts_of_a_model_every_quote_is_verbatim() -> None:
    found = generations(200, constrained=True)
    assert len(found) > 200
    assert [words for words, held in found if not held] == []


def test_without_the_constraint_they_are_not() -> None:
    found = generations(20, constrained=False)
    assert len(found) > 10
    assert sum(held for _, held in found) < len(found) / 2
