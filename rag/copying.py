"""The copy constraint: while a model writes inside a quote, only words that stand in the quoted passage can come next.

A citation is `[2 "words of passage 2"]`. From its number on to its closing bracket the model's choice is narrowed, token by
token, to what can still become a citation: a fabricated quote cannot be written at all. Everywhere else it writes freely.

Worked out on bytes, so it does not matter where the model's tokens begin and end: a token may open the quote and begin it, or
end it and close the bracket. A passage is the set of places where the quote may stand; each token written thins that set out.
Needs a tokenizer whose tokens are bytes (GPT-2's kind) or pieces with a byte fallback (SentencePiece's); knows no model.
"""

import json
import re
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rag.errors import ModelError

if TYPE_CHECKING:
    import torch

HEAD = re.compile(rb"\[ ?(\d{1,6})( ?)\Z")  # of a citation, up to where its quote may open
RUNS_INTO_QUOTE = re.compile(rb'\d ?"')  # in one token: the opening would slip past
OPENS = re.compile(rb'( ?)"([^"]*)\Z', re.DOTALL)
CLOSES = re.compile(rb'([^"]*)"(?:\][^"]*)?\Z', re.DOTALL)
FALLBACK = re.compile(r"<0x([0-9A-F]{2})>\Z")
TAIL = 12  # bytes at the end of what was written, enough to hold a citation's head
LONGEST_PIECE = 32  # bytes of a token inside a quote; the few longer ones are not needed there
LONGEST = 400  # bytes; a longer quote is closed at the end of a word


class Vocabulary:
    """The tokens of a tokenizer as bytes, sorted by what they can do in a citation."""

    def __init__(self, tokens: Sequence[bytes | None]) -> None:
        """`tokens[i]` is what token i writes; None for one that writes nothing, such as the end of a turn."""
        self.tokens = tokens
        self.plain: dict[bytes, list[int]] = {}  # the text of a token without a quote mark → tokens
        self.closing: dict[bytes, list[int]] = {}  # what a token writes of a quote before it closes it → tokens
        self.opening: dict[int, bytes] = {}  # token → what it writes of a quote after it has opened it
        self.barred: list[int] = []  # would step over the border of a quote
        self.brackets: list[int] = []  # begin with the closing bracket
        for i, token in enumerate(tokens):
            if not token:
                continue
            if RUNS_INTO_QUOTE.search(token):
                self.barred.append(i)
                continue
            if token.startswith(b"]") and b'"' not in token:
                self.brackets.append(i)
            if b'"' not in token:
                self.plain.setdefault(token, []).append(i)
            if match := OPENS.match(token):
                self.opening[i] = match[2]
            if match := CLOSES.match(token):
                self.closing.setdefault(match[1], []).append(i)
        self.longest = min(LONGEST_PIECE, max((len(token) for token in tokens if token), default=0))

    @cached_property
    def numerals(self) -> list[int]:
        """Tokens that go on with the number of a citation, or end it with a space."""
        return [i for token, ids in self.plain.items() if token.isdigit() or token == b" " for i in ids]


def token_bytes(tokenizer: Any) -> list[bytes | None]:
    """What each token of a transformers tokenizer writes; None for special tokens, such as those that frame the turns.

    Raises ModelError when the tokenizer's tokens cannot be told as bytes.
    """
    state = json.loads(tokenizer.backend_tokenizer.to_str()) if getattr(tokenizer, "is_fast", False) else {}
    decoder = state.get("decoder") or {}
    kinds = {part.get("type") for part in [decoder, *decoder.get("decoders", [])]}
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    added = {i: None if token.special else token.content.encode() for i, token in tokenizer.added_tokens_decoder.items()}
    if "ByteLevel" in kinds:
        table = _byte_characters()
        written = [_from_byte_characters(piece, table) for piece in pieces]
    elif "ByteFallback" in kinds:
        written = [
            bytes([int(match[1], 16)]) if (match := FALLBACK.match(piece or "")) else (piece or "").replace("▁", " ").encode()
            for piece in pieces
        ]
    else:
        raise ModelError(
            f"the tokenizer of '{tokenizer.name_or_path}' is of a kind whose words cannot be checked while they are written "
            f"({', '.join(sorted(map(str, kinds)))}); serve the model by an endpoint, or name another"
        )
    return [added.get(i, text) for i, text in enumerate(written)]


def _byte_characters() -> dict[str, int]:
    """Character → byte, in GPT-2's alphabet: printable Latin-1 stands for itself, the rest is counted up from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {**{chr(byte): byte for byte in printable}, **{chr(0x100 + i): byte for i, byte in enumerate(others)}}


def _from_byte_characters(piece: str | None, table: dict[str, int]) -> bytes | None:
    if piece is None or any(char not in table for char in piece):
        return None
    return bytes(table[char] for char in piece)


class Passage:
    """A text that may be quoted: white space as one space each, no straight double quote mark (it closes a quote)."""

    def __init__(self, text: str) -> None:
        self.bytes = " ".join(text.split()).replace('"', "”").encode(errors="replace")
        text = self.bytes.decode()
        self.starts: list[int] = []  # where a word begins
        self.ends: set[int] = set()  # where one has ended
        at = 0
        for i, char in enumerate(text):
            inner = i > 0 and text[i - 1].isalnum() and char.isalnum()
            if char != " " and not inner:
                self.starts.append(at)
            if i > 0 and not inner:
                self.ends.add(at)
            at += len(char.encode())
        self.ends.add(at)
        self._next: dict[int, tuple[list[int], list[int]]] = {}

    def following(self, at: int, vocabulary: Vocabulary) -> tuple[list[int], list[int]]:
        """Tokens that go on with the text from byte `at`, and tokens that go on with it and close the quote."""
        if at not in self._next:
            going: list[int] = []
            closing: list[int] = []
            for size in range(min(vocabulary.longest, len(self.bytes) - at) + 1):
                piece = self.bytes[at : at + size]
                going += vocabulary.plain.get(piece, ())
                if at + size in self.ends:
                    closing += vocabulary.closing.get(piece, ())
            self._next[at] = going, closing
        return self._next[at]

    def after(self, places: Sequence[int], piece: bytes) -> list[int]:
        """The places reached from `places` by writing `piece`."""
        return [at + len(piece) for at in places if self.bytes.startswith(piece, at)]


class Copying:
    """Where a text being written stands: free, in the head of a citation, inside its quote, or before its bracket."""

    def __init__(self, vocabulary: Vocabulary, passages: Sequence[str]) -> None:
        self.vocabulary = vocabulary
        self.passages = [Passage(text) for text in passages]
        self.tail = b""  # the last bytes written outside a quote
        self.quoted: Passage | None = None  # the passage being quoted
        self.places: list[int] = []  # bytes of it that may come next
        self.length = 0  # of the quote so far, in bytes
        self.closed = False  # the quote is closed, its bracket is not

    def allowed(self) -> list[int] | None:
        """The tokens that may come next; None: all but `vocabulary.barred`. Empty when the passage cannot be gone on with."""
        if self.closed:
            return self.vocabulary.brackets
        if self.quoted is not None:
            return self._in_quote(self.quoted)
        head = HEAD.search(self.tail)
        return None if head is None else self._in_head(*head.groups())

    def write(self, token: int) -> None:
        """Go on by a token."""
        text = (token < len(self.vocabulary.tokens) and self.vocabulary.tokens[token]) or b""  # models have spare tokens
        if self.closed:
            self.closed = False
        elif self.quoted is not None:
            words, mark, text = text.partition(b'"')
            self.places = self.quoted.after(self.places, words)
            self.length += len(words)
            if not mark:
                return
            self.quoted, self.closed = None, not text
        elif (head := HEAD.search(self.tail)) and token in self.vocabulary.opening:
            words = self.vocabulary.opening[token]
            self.quoted = self.passages[int(head[1]) - 1]
            self.places = self.quoted.after(self.quoted.starts, words)
            self.length = len(words)
            self.tail = b""
            return
        self.tail = (self.tail + text)[-TAIL:]

    def _in_head(self, number: bytes, space: bytes) -> list[int]:
        """Opening marks, with what may begin the quote, and more of the number; no passage's number can only be closed."""
        if not self._is_passage(number):
            return self.vocabulary.brackets
        passage = self.passages[int(number) - 1]
        tokens = self.vocabulary.tokens
        going = [
            token
            for token, words in self.vocabulary.opening.items()
            if words in passage.bytes  # most are not, and this is quick
            and not (space and (tokens[token] or b"").startswith(b" "))
            and passage.after(passage.starts, words)
        ]
        if not space:
            going += [i for i in self.vocabulary.numerals if self._is_passage((number + (tokens[i] or b"")).removesuffix(b" "))]
        return going

    def _is_passage(self, number: bytes) -> bool:
        return not number.startswith(b"0") and int(number) <= len(self.passages)

    def _in_quote(self, passage: Passage) -> list[int]:
        going: set[int] = set()
        closing: set[int] = set()
        for at in self.places:
            on, shut = passage.following(at, self.vocabulary)
            going.update(on)
            closing.update(shut)
        if not self.length:
            closing -= set(self.vocabulary.closing.get(b"", ()))  # an empty quote
        if self.length >= LONGEST and closing:
            return sorted(closing)
        return sorted(going | closing)


class CopyConstraint:
    """`Copying` as a logits processor of transformers: scores (1, vocabulary) of what may not come next become -inf."""

    def __init__(self, vocabulary: Vocabulary, passages: Sequence[str], ends: Sequence[int]) -> None:
        """`ends` are the tokens that end a turn: all that is left when a passage's text is none of the tokenizer's."""
        self.copying = Copying(vocabulary, passages)
        self.ends = list(ends)
        self._seen = -1  # tokens of the prompt and of what was written, once the prompt has been seen

    def __call__(self, input_ids: "torch.LongTensor", scores: "torch.FloatTensor") -> "torch.FloatTensor":
        if self._seen >= 0:
            for token in input_ids[0, self._seen :].tolist():
                self.copying.write(token)
        self._seen = input_ids.shape[1]
        allowed = self.copying.allowed()
        if allowed is None:
            scores[:, self.copying.vocabulary.barred] = float("-inf")
            return scores
        kept = scores.new_full(scores.shape, float("-inf"))
        kept[:, allowed or self.ends] = scores[:, allowed or self.ends]
        return kept  # type: ignore[return-value]
