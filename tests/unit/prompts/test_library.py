"""The prompt library."""

import json
import shutil
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.library import (
    LOCK_FILE,
    PromptError,
    load_prompt,
    locked_hashes,
    main,
    packaged_prompts,
    parse_prompt,
    read_prompts,
    write_lock,
)

ROOT = Path(str(resources.files("prompts")))


def source(body="Say {{ what }}.", name="greet", version=1, variables="[what]", changelog="First."):
    front = f"name: {name}\nversion: {version}\nvariables: {variables}\nchangelog: {changelog}"
    return f"---\n{front}\n---\n{body}\n".encode()


def greet(**parts):
    return parse_prompt(source(**parts), "greet/1")


def test_lock_is_true():
    """Every shipped prompt is in the lock with the hash of its file: nothing released was edited."""
    locked = json.loads((ROOT / LOCK_FILE).read_text())
    assert locked == {key: prompt.hash for key, prompt in packaged_prompts().items()}


def test_latest_version_is_the_default(tmp_path):
    """Without a version the highest number wins, 10 over 9."""
    folder = tmp_path / "greet"
    folder.mkdir()
    for version in (9, 10, 2):
        (folder / f"{version}.md").write_bytes(source(version=version))
    assert [p.version for p in read_prompts(tmp_path).values()] == [2, 9, 10]
    assert load_prompt("describe-tags") == load_prompt("describe-tags", 1)


@pytest.mark.parametrize(("name", "version"), [("describe-cats", None), ("describe-tags", 999)])
def test_unknown_prompt_lists_what_there_is(name, version):
    """Asking for a prompt that does not exist names those that do."""
    with pytest.raises(PromptError, match=f"no prompt '{name}.*; there are .*describe-tags/1"):
        load_prompt(name, version)


def test_all_wrong_variables_are_named_at_once():
    """A wrong call learns all missing and all unknown variables from one message."""
    prompt = greet(body="{{ a }} {{ b }} {{ c }}", variables="[a, b, c]")
    with pytest.raises(
        PromptError, match="prompt greet/1: missing a, c; unknown x, y; it takes a, b, c"
    ):
        prompt.render(b=1, x=2, y=3)


def test_attribute_that_a_value_lacks_is_an_error():
    """A typo inside an expression fails instead of printing nothing."""
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        greet(body="{{ what.colour }}").render(what={"color": "red"})


@given(st.text())
def test_values_are_inserted_as_they_are(value):
    """Catalog text comes out unchanged: neither escaped nor evaluated."""
    assert greet(body="<{{ what }}>").render(what=value) == f"<{value}>"


@pytest.mark.parametrize(
    "attack",
    ["{{ 7 * 7 }}", "{% for x in y %}", "{# gone #}", "{{ ''.__class__.__mro__ }}", "${7}"],
)
def test_template_code_in_catalog_text_stays_text(attack):
    """Catalog text that looks like template code is never evaluated, at any depth of a value."""
    assert greet().render(what=attack) == f"Say {attack}."
    tags = load_prompt("describe-tags").render(labels=[(attack, 50)], colors=[attack], text=attack)
    assert tags.count(attack) == 3


def test_prompts_run_in_a_sandbox():
    """Not even a prompt file can reach Python's internals or change what it was given."""
    from jinja2.exceptions import SecurityError

    for body in ("{{ what.__class__.__mro__ }}", "{{ what.append(1) }}"):
        with pytest.raises(SecurityError):
            greet(body=body).render(what=[])


def test_hash_ignores_line_ends_only():
    """A checkout with Windows line ends or a BOM has the same hash; any other change has another."""
    original = greet().hash
    assert parse_prompt(source().replace(b"\n", b"\r\n"), "greet/1").hash == original
    assert parse_prompt(b"\xef\xbb\xbf" + source(), "greet/1").hash == original
    assert greet(body="Say  {{ what }}.").hash != original
    assert greet(changelog="Second.").hash != original
    assert len(original) == 64


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"Say hello.", "needs front matter between two lines of ---"),
        (b"\xff\xfe", "is not UTF-8"),
        (source(name="other"), "front matter says other/1; make it agree with the path"),
        (source(version=2), "front matter says greet/2"),
        (
            source(variables="[what, more]"),
            r"lists the variables \['more', 'what'\], the text uses \['what'\]",
        ),
        (source(variables="[]"), r"lists the variables \[\], the text uses \['what'\]"),
        (source(body="{% if what %}\nx\n{% endfor %}"), "line 9: Encountered unknown tag 'endfor'"),
        (source(version="one"), "front matter: version: Input should be a valid integer"),
        (
            source(changelog="First.\nauthor: me"),
            "author: Extra inputs are not permitted; it has the keys name, version",
        ),
        (source(variables="[what"), "front matter is not YAML"),
    ],
)
def test_malformed_prompt_is_refused(data, message):
    """A prompt file that breaks the rules is refused with its name and what is wrong."""
    with pytest.raises(PromptError, match=f"(?s)prompt greet/1: .*{message}"):
        parse_prompt(data, "greet/1")


def test_stray_file_is_refused(tmp_path):
    """A file that is not named by a version number does not hide among the prompts."""
    (tmp_path / "greet").mkdir()
    (tmp_path / "greet" / "draft.md").write_bytes(source())
    with pytest.raises(
        PromptError, match=r"prompts/greet/draft.md: is not a prompt; files are named 1.md"
    ):
        read_prompts(tmp_path)


@pytest.fixture
def copy(tmp_path):
    """A copy of the shipped prompts that a test may change."""
    return Path(
        shutil.copytree(ROOT, tmp_path / "prompts", ignore=shutil.ignore_patterns("__pycache__"))
    )


def test_lock_takes_new_versions(copy):
    """A new version is added to the lock, and locking again changes nothing."""
    (copy / "greet").mkdir()
    (copy / "greet" / "1.md").write_bytes(source())
    assert write_lock(copy) == ["greet/1"]
    assert json.loads((copy / LOCK_FILE).read_text())["greet/1"] == greet().hash
    assert write_lock(copy) == []


@pytest.mark.parametrize("change", ["edited", "removed"])
def test_lock_refuses_a_changed_release(copy, change):
    """A released version that was edited or removed is refused, and the lock stays as it was."""
    file, lock = copy / "describe-tags" / "1.md", (copy / LOCK_FILE).read_bytes()
    if change == "edited":
        file.write_text(file.read_text() + "More.\n")
    else:
        file.unlink()
    with pytest.raises(
        PromptError, match=f"released prompts may not change: describe-tags/1 was {change}"
    ):
        write_lock(copy)
    assert (copy / LOCK_FILE).read_bytes() == lock


def test_every_broken_release_is_named():
    """One message names all released versions that changed."""
    with pytest.raises(PromptError, match="a/1 was removed; greet/1 was edited"):
        locked_hashes({"greet/1": greet()}, {"greet/1": "0", "a/1": "0"})


def test_command_line(capsys):
    """`lock` on an unchanged tree succeeds, anything else explains itself and exits with 2."""
    assert main(["lock"]) == 0
    assert capsys.readouterr().out == "locked: nothing new\n"
    assert main([]) == 2
    assert "usage: python -m prompts.library lock" in capsys.readouterr().err


def test_describe_tags_golden():
    """The tagger's description says what it is, and leaves out what was not seen."""
    prompt = load_prompt("describe-tags", 1)
    assert (
        prompt.render(
            labels=[("lemon", 61), ("grocery store", 13)], colors=["yellow", "white"], text="ALPRO"
        )
        == "Automatic picture tags. Probably shows: lemon (61 %), grocery store (13 %). "
        'Main colours: yellow, white. Text on the picture: "ALPRO".'
    )
    assert (
        prompt.render(labels=[], colors=[], text="")
        == "Automatic picture tags. Nothing recognised with confidence."
    )
