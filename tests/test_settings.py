"""Settings are flat, closed and checked at the border."""

from pathlib import Path

import pytest

from rag.errors import InputError
from rag.settings import Settings


def test_the_defaults() -> None:
    made = Settings.load()
    assert (made.index, made.sources, made.threshold) == (Path("index"), None, None)


def test_none_means_not_given() -> None:
    assert Settings.load(index=None, threshold=None) == Settings.load()


def test_an_unknown_name_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(InputError, match=r"chunk_token=.*known: sources, index"):
        Settings.load(chunk_token=100)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", 1.1),
        ("threshold", -0.1),
        ("threshold", "often"),
        ("chunk_tokens", 5),
        ("chunk_tokens", 10_000),
        ("max_file_mb", 0),
        ("batch_size", 0),
        ("candidates", 0),
        ("passages", 0),
        ("max_quotes", 0),
        ("threads", 0),
        ("lock_wait", -1),
    ],
)
def test_a_value_out_of_range_is_refused_with_name_and_value(name: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"setting {name}={value!r}: "):
        Settings.load(**{name: value})


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_THRESHOLD", "0.25")
    monkeypatch.setenv("RAG_INDEX", "/somewhere/else")
    assert (Settings.load().threshold, Settings.load().index) == (0.25, Path("/somewhere/else"))


def test_a_keyword_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_THRESHOLD", "0.25")
    assert Settings.load(threshold=0.75).threshold == 0.75


def test_a_bad_value_in_the_environment_is_an_error_naming_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_MAX_QUOTES", "many")
    with pytest.raises(InputError, match="max_quotes='many'"):
        Settings.load()


def test_an_unknown_variable_of_the_environment_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_SOMETHING_ELSE", "1")
    assert Settings.load() == Settings.load(index="index")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings.load().threshold = 0.5  # type: ignore[misc]


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())
