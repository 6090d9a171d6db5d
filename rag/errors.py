"""Everything that Folio raises on purpose. One sentence each, with the value and the remedy.

RagError
├── InputError       a question, path, setting or answer file that cannot be used
├── IndexMissing     there is no index where one was looked for
├── IndexMismatch    the index was built by another encoder, chunking or format
├── IndexDamaged     the catalogue cannot be read
├── IndexBusy        another build holds the lock
├── ModelError       model weights are missing, or are not the ones that were tested
└── Stopped          whoever watches a question being answered has ended it
"""


class RagError(Exception):
    """Base of every error that is meant for a person to read."""


class InputError(RagError):
    """A question, path, setting or answer file that cannot be used."""


class IndexMissing(RagError):
    """There is no index where one was looked for."""


class IndexMismatch(RagError):
    """The index was built by another encoder, chunking or format."""


class IndexDamaged(RagError):
    """The catalogue cannot be read."""


class IndexBusy(RagError):
    """Another build holds the lock."""


class ModelError(RagError):
    """Model weights are missing, or are not the ones that were tested."""


class Stopped(RagError):
    """Whoever watches a question being answered has ended it."""

    def __init__(self, message: str = "stopped") -> None:
        super().__init__(message)
