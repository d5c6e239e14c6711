"""The client against emulators of the servers that people have: how many of 24 items keep their answers."""

from pathlib import Path

import pytest

from tests.servers.__main__ import PAGE, page_with, table
from tests.servers.conformance import ITEMS, TEMPLATE, ask_items
from tests.servers.registry import SERVERS, needed_options

# What is lost: a picture that is not taken.
LOST = {"llama.cpp without a projector"}
TAKEN = [name for name in SERVERS if name not in LOST]
# What it takes to find out how a server wants to be asked, where nothing is known of it; none else.
REFUSED_CALLS = {
    "OpenAI, reasoning models": 4,
    "OpenAI, chat models": 1,
    "Azure OpenAI, deployments": 1,
    "Azure OpenAI, v1": 1,
    "Anthropic": 2,
    "Gemini": 3,
    "Mistral": 1,
    "Groq": 1,
    "LiteLLM": 1,
    "TGI": 1,
    "ModelScope": 1,
    "DeepSeek": 1,
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_server_of_which_nothing_is_known_is_learnt(name: str, tmp_path: Path) -> None:
    """All items are answered, few calls are refused before the first, and none in the next run."""
    learnt = str(tmp_path / "learnt")
    with SERVERS[name]() as server:
        options = {"learnt_dir": learnt, **needed_options(server)}
        first = ask_items(server, tmp_path, **options)
        refused = REFUSED_CALLS.get(name, 0)
        assert (first.kept, first.calls) == (ITEMS, ITEMS + refused), first
        more = ask_items(server, tmp_path / "more", **options)
        assert (more.kept, more.calls) == (ITEMS, ITEMS), more


@pytest.mark.parametrize("name", TAKEN)
def test_a_server_of_the_table_is_asked_in_its_form_at_once(name: str, tmp_path: Path) -> None:
    """Where the row is known, no call is refused, LiteLLM's aside: that depends on who is behind it."""
    with SERVERS[name]() as server:
        found = ask_items(server, tmp_path, server=server.name, **needed_options(server))
    wasted = REFUSED_CALLS[name] if name == "LiteLLM" else 0
    assert (found.kept, found.calls) == (ITEMS, ITEMS + wasted), found


@pytest.mark.parametrize("name", ["OpenAI, reasoning models", "Gemini", "DeepSeek"])
def test_what_was_learnt_asks_nothing_anew(name: str, tmp_path: Path) -> None:
    """Answers that are kept are found whatever is known of the server: by its own answers, by the
    table, by options, or nothing.
    """
    with SERVERS[name]() as server:
        first = ask_items(server, tmp_path)
        for known in (
            {"server": server.name},
            {"server_takes": ("logprobs=no", "seed_field=none", "response_format=json_object")},
            {},
        ):
            again = ask_items(server, tmp_path, **known)
            assert (again.calls, again.values) == (0, first.values), known


def test_what_an_option_says_is_not_learnt(tmp_path: Path) -> None:
    """A capability that somebody set is sent as it was set, and its refusal is the item's own."""
    with SERVERS["Gemini"]() as server:
        found = ask_items(server, tmp_path, server_takes=("seed_field=seed",))
    assert found.kept == 0
    assert "seed" in found.message


def test_a_model_that_takes_no_pictures_ends_the_run_at_once(tmp_path: Path) -> None:
    """All items fail with the first refusal, which says what to do; without pictures it works."""
    with SERVERS["llama.cpp without a projector"]() as server:
        found = ask_items(server, tmp_path)
        assert (found.kept, found.calls) == (0, 1)
        assert "--max-pictures 0" in found.ended
        blind = ask_items(server, tmp_path, sees=False)
        assert (blind.kept, blind.calls) == (ITEMS, ITEMS)


@pytest.mark.parametrize("name", ["OpenAI, reasoning models", "Gemini", "Mistral", "OpenRouter"])
def test_an_item_that_is_refused_spoils_no_other(name: str, tmp_path: Path) -> None:
    """Where the first item is refused for its own sake, it is tried in three other forms at most, and
    the next one finds out how the server wants to be asked.
    """
    with SERVERS[name]() as server:
        found = ask_items(server, tmp_path, marker="[server: complain]")
    assert (found.kept, found.reasons) == (ITEMS - 1, {"model-refused": 1})
    assert "this one is not liked" in found.message
    assert found.calls <= ITEMS + 3 + REFUSED_CALLS.get(name, 0)


LISTS = {
    **TEMPLATE,
    "attributes": [
        TEMPLATE["attributes"][0],
        *(
            {
                "name": f"a{n}",
                "type": "enum",
                "values": [f"value {v} of {n}" for v in range(230)],
                "fill": True,
            }
            for n in range(3)
        ),
    ],
}


def test_lists_that_are_too_long_together_are_asked_in_parts(tmp_path: Path) -> None:
    """A server that takes 500 listed values is asked about 690 in two questions where that is known;
    where it is learnt, in one without the longest list.
    """
    with SERVERS["Azure OpenAI, v1"]() as server:
        known = ask_items(server, tmp_path / "known", template=LISTS, items=4, server="azure")
        assert (known.kept, known.calls, server.refused) == (4, 8, 0)
        learnt = ask_items(server, tmp_path / "learnt", template=LISTS, items=4)
        assert (learnt.kept, server.refused) == (4, 2)
        assert learnt.calls == 4 + 2


def test_the_page_tells_what_the_emulators_show() -> None:
    """The table of the documentation is that of a run today; `python -m tests.servers` writes it."""
    assert page_with(table()) == PAGE.read_text("utf-8")
