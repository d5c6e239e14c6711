"""The prompt library: (name, version) -> Prompt, read from Jinja2 files with YAML front matter.

A released version is never edited: `lock.json` holds the hash of each, and `python -m
prompts.library lock` adds new versions and refuses changed ones.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any

from jinja2 import StrictUndefined, TemplateSyntaxError, meta
from jinja2 import Template as JinjaTemplate
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

LOCK_FILE = "lock.json"
_FRONT_MATTER = re.compile(r"---\n(?P<front>.*?)\n---\n(?P<body>.*)", re.DOTALL)
_VERSION_FILE = re.compile(r"([1-9][0-9]*)\.md")

# Prompts are plain text for a model, not HTML: escaping would corrupt the catalog's own characters.
_environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)


class PromptError(ValueError):
    """A prompt that is missing or malformed, was edited after its release, or was given the wrong
    variables.
    """


class FrontMatter(BaseModel):
    """The keys of a prompt file's front matter; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    version: Annotated[int, Field(ge=1)]
    variables: list[str]
    changelog: Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Prompt:
    """One released version of a prompt.

    variables: the names that `render` needs, sorted.
    hash: SHA-256 of the file's canonical bytes (UTF-8, LF line ends), 64 hexadecimal digits.
    """

    name: str
    version: int
    variables: tuple[str, ...]
    changelog: str
    body: str
    hash: str

    @property
    def key(self) -> str:
        return f"{self.name}/{self.version}"

    def render(self, **variables: Any) -> str:
        """Return the prompt's text, without space around it.

        A value is only ever inserted: text in it that looks like template code stays text.
        Raises PromptError with all missing and all unknown variables at once.
        """
        self._check(variables)
        return _compiled(self.body).render(variables).strip()

    def render_turns(self, **variables: Any) -> dict[str, str]:
        """Return the text of each `{% block NAME %}`, without space around it: a chat prompt
        has `system` and `user`.

        Raises PromptError as `render` does.
        """
        self._check(variables)
        template = _compiled(self.body)
        context = template.new_context(variables)
        return {name: "".join(block(context)).strip() for name, block in template.blocks.items()}

    def _check(self, variables: Mapping[str, Any]) -> None:
        missing = sorted(set(self.variables) - set(variables))
        unknown = sorted(set(variables) - set(self.variables))
        if missing or unknown:
            problems = [
                f"{kind} {', '.join(names)}"
                for kind, names in (("missing", missing), ("unknown", unknown))
                if names
            ]
            raise PromptError(
                f"prompt {self.key}: {'; '.join(problems)}; it takes "
                f"{', '.join(self.variables) or 'none'}"
            )


@lru_cache(maxsize=64)
def _compiled(body: str) -> JinjaTemplate:
    return _environment.from_string(body)


def parse_prompt(data: bytes, key: str) -> Prompt:
    """Return the prompt in a file's bytes; `key` is the `name/version` that its path promises.

    Raises PromptError naming what is wrong.
    """
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise PromptError(f"prompt {key}: is not UTF-8: {error}; save it as UTF-8") from error
    parts = _FRONT_MATTER.fullmatch(text)
    if parts is None:
        raise PromptError(
            f"prompt {key}: needs front matter between two lines of ---, then the text"
        )
    front = _front_matter(parts["front"], key)
    if f"{front.name}/{front.version}" != key:
        raise PromptError(
            f"prompt {key}: front matter says {front.name}/{front.version}; make it agree with the "
            "path"
        )
    try:
        used = meta.find_undeclared_variables(_environment.parse(parts["body"]))
    except TemplateSyntaxError as error:
        line = (error.lineno or 1) + parts["front"].count("\n") + 3
        raise PromptError(f"prompt {key}: line {line}: {error.message}") from error
    if used != set(front.variables):
        raise PromptError(
            f"prompt {key}: front matter lists the variables {sorted(front.variables)}, the text "
            f"uses {sorted(used)}; "
            "list exactly those that the text uses"
        )
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Prompt(
        front.name, front.version, tuple(sorted(used)), front.changelog, parts["body"], digest
    )


def _front_matter(text: str, key: str) -> FrontMatter:
    try:
        return FrontMatter.model_validate(YAML(typ="safe", pure=True).load(io.StringIO(text)))
    except YAMLError as error:
        raise PromptError(f"prompt {key}: front matter is not YAML: {error}") from error
    except ValidationError as error:
        findings = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'all'}: {e['msg']}" for e in error.errors()
        )
        raise PromptError(
            f"prompt {key}: front matter: {findings}; it has the keys "
            f"{', '.join(FrontMatter.model_fields)}"
        ) from error


def read_prompts(root: Traversable) -> dict[str, Prompt]:
    """All prompts in the folder `root`, laid out as `<name>/<version>.md`, by `name/version`.

    Raises PromptError for the first file that is malformed or out of place.
    """
    prompts = {}
    for folder in root.iterdir():
        if not folder.is_dir() or folder.name.startswith(("_", ".")):
            continue
        for file in folder.iterdir():
            match = _VERSION_FILE.fullmatch(file.name)
            if match is None:
                raise PromptError(
                    f"prompts/{folder.name}/{file.name}: is not a prompt; files are named 1.md, "
                    "2.md ..."
                )
            prompt = parse_prompt(file.read_bytes(), f"{folder.name}/{match[1]}")
            prompts[prompt.key] = prompt
    return dict(sorted(prompts.items(), key=lambda entry: (entry[1].name, entry[1].version)))


@lru_cache(maxsize=1)
def packaged_prompts() -> Mapping[str, Prompt]:
    """All prompts that ship with the product, by `name/version`, sorted."""
    return read_prompts(resources.files("prompts"))


def load_prompt(name: str, version: int | None = None) -> Prompt:
    """Return that version of a packaged prompt, the latest when None.

    Raises PromptError listing what there is.
    """
    prompts = packaged_prompts()
    candidates = [p for p in prompts.values() if p.name == name and version in (None, p.version)]
    if not candidates:
        wanted = name if version is None else f"{name}/{version}"
        raise PromptError(f"no prompt {wanted!r}; there are {', '.join(prompts)}")
    return candidates[-1]


def locked_hashes(prompts: Mapping[str, Prompt], locked: Mapping[str, str]) -> dict[str, str]:
    """Return the lock of `prompts`: what was locked before, and the new versions.

    Raises PromptError naming every released version that was edited or removed.
    """
    broken = [
        f"{key} was {'edited' if key in prompts else 'removed'}"
        for key, digest in sorted(locked.items())
        if key not in prompts or prompts[key].hash != digest
    ]
    if broken:
        raise PromptError(
            f"released prompts may not change: {'; '.join(broken)}. Restore the file and put the "
            "new text into "
            "the next version"
        )
    return {key: prompt.hash for key, prompt in prompts.items()}


def write_lock(root: Path) -> list[str]:
    """Bring `root`/lock.json up to date; returns the versions that are new in it."""
    file = root / LOCK_FILE
    locked = json.loads(file.read_text("utf-8")) if file.exists() else {}
    hashes = locked_hashes(read_prompts(root), locked)
    file.write_text(json.dumps(hashes, indent=2) + "\n", "utf-8")
    return [key for key in hashes if key not in locked]


def main(arguments: Sequence[str]) -> int:
    """`python -m prompts.library lock`: 0 done, 1 a released prompt changed, 2 wrong arguments."""
    if list(arguments) != ["lock"]:
        print("usage: python -m prompts.library lock", file=sys.stderr)
        return 2
    try:
        new = write_lock(Path(__file__).parent)
    except PromptError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"locked: {', '.join(new) or 'nothing new'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
