"""Secrets by their value: what the environment holds is found however it is written."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.secrets import hidden, is_variable_name, masked_in, refresh, secret_in, watch
from tests.planted import MARK, holds, ways_to_write

ASCII = "".join(map(chr, range(33, 127)))
# Whole alphabets, so that no piece of text has one by chance.
KEYS = st.text(ASCII, min_size=12, max_size=40).filter(
    lambda key: not key.isdecimal() and len(set(key)) > 6
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment that is read again before and after."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    refresh()
    yield
    monkeypatch.undo()
    refresh()


@given(key=KEYS, around=st.text(max_size=10), data=st.data())
def test_a_key_is_hidden_however_it_is_written(key: str, around: str, data: st.DataObject) -> None:
    """In each of the ways in which a key may be written it is gone, and what stands apart from it
    stays.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", key)
        refresh()
        ways = ways_to_write(key)
        way = data.draw(st.sampled_from(sorted(ways)))
        told = hidden(f"{around} {ways[way]} {around}")
        assert not holds(told, key), way
        assert "[key]" in told


@given(text=st.text())
def test_a_text_without_keys_stays(text: str) -> None:
    """What holds no key is not touched, escapes and line breaks included."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", MARK)
        refresh()
        assert hidden(text) == text


@pytest.mark.parametrize(
    ("name", "value", "is_hidden"),
    [
        ("HF_TOKEN", f"x{MARK}", True),
        ("AWS_SESSION_TOKEN", f"x{MARK}", True),
        ("SOME_SHOP_PASSWORD", f"x{MARK}", True),
        ("SHOP_URL", f"postgres://me:x{MARK}@db/shop", True),
        ("SHOP_KEY_FILE", f"/keys/x{MARK}", False),
        ("HF_TOKEN", "EMPTY", False),
        ("HF_TOKEN", "12345678", False),
        ("SHOP_TOKEN", "/run/secrets/token1", False),
    ],
)
def test_which_variables_hold_secrets(
    name: str, value: str, is_hidden: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known names, names like theirs with a value like a key, and passwords in addresses; no words,
    paths and numbers.
    """
    monkeypatch.setenv(name, value)
    refresh()
    secret = value.rpartition("me:")[2].partition("@")[0]
    assert (hidden(f"is {secret}") != f"is {secret}") == is_hidden


def test_a_variable_that_an_option_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its value is a secret from then on, whatever the variable is called."""
    monkeypatch.setenv("MY_SERVER", "a-word-a-word")
    refresh()
    assert hidden("a-word-a-word") == "a-word-a-word"
    watch("MY_SERVER")
    assert masked_in({"a": ["a-word-a-word", 1]}, hidden) == {"a": ["[key]", 1]}
    assert "MY_SERVER" in secret_in("http://a-word-a-word/v1")


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "K", "shop_key", "MY_KEY_2", "HOME"])
def test_names_of_variables(name: str) -> None:
    """Usual names are taken for names, and any that is set."""
    assert is_variable_name(name)


@pytest.mark.parametrize(
    "key",
    ["", "a b", f"sk-{MARK}", f"hf_{MARK}", MARK, "AKIAQQQQEEEEAAAAMMPL", "0" * 32, "hunter2"],
)
def test_keys_are_no_names(key: str) -> None:
    """What is not set and not written as names are is the key itself."""
    assert not is_variable_name(key)
