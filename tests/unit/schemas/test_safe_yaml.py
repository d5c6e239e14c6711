"""Templates are input: whatever a file holds, it is read or refused at once, with its line."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from schemas.loading import TemplateRefusedError, load_template, packaged_templates
from schemas.safe_yaml import MAX_BYTES, MAX_DEPTH, load

HEAD = "name: shop\nversion: 1.0.0\n"


def aliases(levels: int, width: int) -> str:
    """Lists of aliases: width to the power of levels values in a few lines."""
    first = f"a0: &a0 [{', '.join('x' * width)}]"
    more = (f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels))
    return "\n".join((first, *more))


REFUSED = {
    "aliases-of-aliases": (HEAD + aliases(9, 10), "line 8: .* 200,000 values"),
    "aliases-of-mappings": (
        HEAD + "a: &a {x: 1, y: 2}\n" + "b: [" + "*a, " * 70_000 + "]",
        "line 4: .* 200,000 values",
    ),
    "an-alias-in-itself": (
        HEAD + "record: &r\n  id: sku\n  more: *r\n",
        "line 5: .* within itself",
    ),
    "deep-lists": (HEAD + "record: " + "[" * 5_000 + "]" * 5_000, "line 3: .* levels deep"),
    "deep-mappings": (HEAD + "record: " + "{a: " * 5_000 + "1" + "}" * 5_000, "levels deep"),
    "deep-blocks": (
        HEAD + "\n".join(" " * n + "a:" for n in range(200)),
        f"line {MAX_DEPTH + 3}: .* levels deep",
    ),
    "open-lists": (HEAD + "record: " + "[" * 100_000, "levels deep"),
    "many-digits": (HEAD + "gate: {max_reject_share: " + "9" * 6_000 + "}", "line 3: .* 6,000"),
    "many-decimals": (HEAD + "gate: {max_reject_share: 0." + "1" * 6_000 + "}", "line 3: .* 6,0"),
    "a-tag": ("name: !shop x\n", "line 1: .* tag !shop"),
    "a-python-object": ("name: !!python/object/apply:os.system ['true']\n", "line 1: .* tag"),
    "a-tagged-mapping": (HEAD + "record: !!set {a, b}\n", "line 3: .* tag"),
    "too-long": ("# " + "x" * MAX_BYTES, "2,097,152 bytes"),
    "no-yaml": ("name: [", "line 1"),
    "not-utf-8": (b"name: shop\nversion: \xff\xfe", "line 2: .* UTF-8"),
    "utf-16": ("name: shop".encode("utf-16"), "UTF-8"),
    "zeros": (b"\0" * 1_000_000, "YAML: "),
    "empty": ("", "is not a mapping"),
    "a-pattern-that-nests": (
        HEAD
        + "record: {id: sku}\nattributes:\n  - {name: code, type: string, from: c, description: D., "
        + "pattern: '"
        + "(" * 20_000
        + ")" * 20_000
        + "'}\n",
        "is not a regular expression",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_template_is_refused_with_its_line(tmp_path: Path, name: str) -> None:
    """Each is one error that names the line, where it has one, and no traceback."""
    content, expected = REFUSED[name]
    path = tmp_path / "shop.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TemplateRefusedError, match=expected):
        load_template(str(path))


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe, a device and a folder are named as such, whoever writes to them or not."""
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "device.yaml").symlink_to("/dev/zero")
    (tmp_path / "folder.yaml").mkdir()
    seen: list[str] = []

    def load_all() -> None:
        for name in ("pipe", "device", "folder"):
            with pytest.raises(TemplateRefusedError, match=r"not a file|directory"):
                load_template(str(tmp_path / f"{name}.yaml"))
            seen.append(name)

    loading = threading.Thread(target=load_all, daemon=True)
    loading.start()
    loading.join(10)
    assert seen == ["pipe", "device", "folder"]


def test_a_refusal_takes_little_memory(tmp_path: Path) -> None:
    """All of these files together are refused by a process of less than 300 MB."""
    for name, (content, _) in REFUSED.items():
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / f"{name}.yaml").write_bytes(data)
    code = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from schemas.loading import TemplateRefusedError, load_template\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        load_template(path)\n"
        "    except TemplateRefusedError:\n"
        "        continue\n"
        # What getrusage calls the peak includes that of the process that forked this one.
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
    )
    paths = map(str, sorted(tmp_path.iterdir()))
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 300 * 1024


@pytest.mark.parametrize("name", packaged_templates())
def test_packaged_templates_are_within_the_limits(name: str) -> None:
    """What this product ships is read as before."""
    text = packaged_templates()[name]
    assert load(text) == YAML(typ="rt").load(text)


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)


@given(TREES)
def test_what_is_within_the_limits_is_read_as_it_is(tree: object) -> None:
    """Reading twice, for the limits and for the values, changes nothing."""
    written = StringIO()
    YAML().dump({"tree": tree}, written)
    text = written.getvalue()
    assume("!!" not in text)  # ruamel tags some texts, and no tag is read
    assert load(text) == YAML(typ="rt").load(text)
