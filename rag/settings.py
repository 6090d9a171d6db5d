"""Every knob, flat and closed: an unknown name is an error. Environment variables carry the prefix RAG_."""

from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from rag.errors import InputError


class Settings(BaseSettings):
    """How to read, find and answer. Passed in; there is no global instance."""

    model_config = SettingsConfigDict(env_prefix="RAG_", extra="forbid", frozen=True)

    sources: Path | None = Field(None, description="folder of documents; default: the index's own, else ./seeds")
    index: Path = Field(Path("index"), description="folder of the built index")
    encoder: Path | None = Field(None, description="folder of a sentence-transformers model; default: all-MiniLM-L6-v2")

    chunk_tokens: int = Field(160, ge=32, le=400, description="most tokens of the encoder in one chunk")
    max_file_mb: float = Field(50, gt=0, description="larger files are skipped, and reported")
    file_seconds: float = Field(60, gt=0, description="a file that takes longer to read is skipped, and reported")
    batch_size: int = Field(32, ge=1, description="most passages embedded at once")

    candidates: int = Field(50, ge=1, description="chunks taken from each of dense and BM25 search")
    passages: int = Field(16, ge=1, description="fused chunks that the reader reads")
    threshold: float | None = Field(None, ge=0, le=1, description="least probability to answer; default: the reader's")
    max_quotes: int = Field(5, ge=1, le=20, description="most quotes in an answer")

    upload_files: int = Field(200, ge=1, description="most files added to the chat at once")
    upload_mb: float = Field(200, gt=0, description="most megabytes added to the chat at once")

    generator: str | None = Field(
        None, description="who writes answers: a model's folder, its Hub name, or http://127.0.0.1:11434/v1#model; default: nobody"
    )
    generator_context: int = Field(4096, ge=1024, description="most tokens of prompt and answer together")
    generator_tokens: int = Field(400, ge=32, description="most tokens of a written answer")
    generator_seconds: float = Field(120, gt=0, description="a written answer that takes longer ends with what it has")
    generator_temperature: float = Field(0, ge=0, le=2, description="0 always writes the likeliest word")
    generator_seed: int = Field(0, ge=0, description="of the dice, at another temperature than 0")
    generator_remote: bool = Field(False, description="allow an endpoint on another machine: passages are sent to it")

    lock_wait: float = Field(10, ge=0, description="seconds a build waits for another one to finish")
    threads: int | None = Field(None, ge=1, description="CPU threads; default: all cores")

    @classmethod
    def load(cls, **values: object) -> "Settings":
        """Settings from keyword values over the environment; None means "not given".

        Raises InputError naming the field, the value and what is allowed.
        """
        try:
            return cls(**{name: value for name, value in values.items() if value is not None})  # type: ignore[arg-type]
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"]) or "settings"
            known = f"; known: {', '.join(cls.model_fields)}" if first["type"] == "extra_forbidden" else ""
            message = f"setting {name}={first.get('input')!r}: {first['msg'][:1].lower()}{first['msg'][1:]}{known}"
            raise InputError(message) from error
