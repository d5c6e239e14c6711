"""Loading a template from YAML: every error at once, each with its line and what to write
instead.
"""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path

from schemas.safe_yaml import YamlRefusedError, load, read_text
from schemas.template import Template
from schemas.template_errors import TemplateError, errors_in, yaml_error


class TemplateRefusedError(ValueError):
    """Raised with every error of a template at once."""

    def __init__(self, source: str, errors: list[TemplateError]) -> None:
        self.source = source
        self.errors = sorted(errors, key=lambda error: (error.line or 0, error.where))
        listing = "\n".join(f"  {error}" for error in self.errors)
        plural = "error" if len(errors) == 1 else "errors"
        super().__init__(f"template {source} has {len(errors)} {plural}:\n{listing}")


def packaged_templates() -> dict[str, str]:
    """Name to text of the templates that ship with the product."""
    folder = resources.files("schemas") / "templates"
    return {
        entry.name.removesuffix(".yaml"): entry.read_text("utf-8")
        for entry in sorted(folder.iterdir(), key=lambda e: e.name)
        if entry.name.endswith(".yaml")
    }


def load_template(name_or_path: str) -> Template:
    """Return the template of that packaged name or file path.

    Raises TemplateRefusedError with all its errors, each with line and fix.
    """
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        try:
            text = read_text(name_or_path)
        except OSError as error:
            problem = f"cannot be read: {error.strerror or error}"
            raise TemplateRefusedError(
                name_or_path, [TemplateError(None, "file", problem)]
            ) from error
        except YamlRefusedError as error:
            raise TemplateRefusedError(
                name_or_path, [TemplateError(error.line, "file", str(error))]
            ) from error
        return parse_template(text, name_or_path)
    packaged = packaged_templates()
    if name_or_path not in packaged:
        close = difflib.get_close_matches(name_or_path, packaged, n=1)
        hint = f", did you mean {close[0]!r}?" if close else ";"
        raise TemplateRefusedError(
            name_or_path,
            [
                TemplateError(
                    None,
                    "name",
                    f"no such template{hint} packaged: {', '.join(packaged)}. Name a file by its "
                    "path, ending in .yaml",
                )
            ],
        )
    return parse_template(packaged[name_or_path], name_or_path)


def parse_template(text: str, source: str) -> Template:
    """Return the template written in `text`; `source` names it in errors."""
    from ruamel.yaml.error import YAMLError

    try:
        tree = load(text)
    except YamlRefusedError as error:
        raise TemplateRefusedError(
            source, [TemplateError(error.line, "YAML", str(error))]
        ) from error
    except YAMLError as error:
        raise TemplateRefusedError(source, [yaml_error(error)]) from error
    if not isinstance(tree, dict):
        raise TemplateRefusedError(
            source,
            [
                TemplateError(
                    None,
                    "file",
                    "is not a mapping; start with name:, version:, record: and attributes:",
                )
            ],
        )
    errors = errors_in(tree)
    if errors:
        raise TemplateRefusedError(source, errors)
    return Template.model_validate(tree)
