"""What is wrong with a template as it stands in YAML: where, what, and how to fix it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from schemas.attributes import Attribute, OneOrMany
from schemas.choices import Strict
from schemas.secrets.templates import secrets_in_template
from schemas.sections.vectors import CHUNKS_SUFFIX, IMAGE_PARTS
from schemas.tables.columns import FIXED_ITEM_COLUMNS
from schemas.template import LANGUAGE_MARK, NUMBER_MARK, Template, split_source
from schemas.texts import shorten

# What fits a pattern, in words, by the place of the entry: pydantic would quote the regular
# expression. Everywhere else the pattern is that of an attribute's name.
_FITTING = {
    "version": "for example 1.0.0",
    "name": "lower-case letters, digits, _ and -, starting with a letter, 63 characters at most",
}
_FITTING_FIELDS = "what each entry is made of, for example Name:Value:Position"
_FITTING_SPACE = "lower-case letters, digits and -, starting with a letter, 63 characters at most"
_FITTING_NAME = "lower-case letters, digits and _, starting with a letter, 63 characters at most"


@dataclass(frozen=True, slots=True)
class TemplateError:
    """One thing that is wrong with a template: where, what, and how to fix it.

    line: None where it has no place.
    """

    line: int | None
    where: str
    problem: str

    def __str__(self) -> str:
        place = "" if self.line is None else f"line {self.line}: "
        return f"{place}{self.where}: {self.problem}"


def errors_in(tree: Any) -> list[TemplateError]:
    """Return everything that is wrong with a template as it was read."""
    # First of all and alone: other errors quote what they find.
    secret = [_secret_error(tree, *each) for each in secrets_in_template(tree)]
    return secret or [
        *_shape_errors(tree),
        *_attribute_errors(tree),
        *_reference_errors(tree),
        *_pattern_errors(tree),
        *_vector_errors(tree),
    ]


def _secret_error(tree: Any, location: tuple[Any, ...], problem: str) -> TemplateError:
    return TemplateError(_line(tree, location), _written(location), problem)


def yaml_error(error: Exception) -> TemplateError:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or error)
    if "'\\t'" in problem:
        problem = "a tab stands where YAML takes none; indent with spaces"
    return TemplateError(mark.line + 1 if mark else None, "YAML", problem)


def _shape_errors(tree: Any) -> Iterator[TemplateError]:
    """Yield what is wrong outside the single attributes."""
    shell = {key: value for key, value in tree.items() if key != "attributes"}
    attributes = tree.get("attributes")
    if not isinstance(attributes, list) or not attributes:
        yield TemplateError(
            _line(tree, ("attributes",)),
            "attributes",
            "needs a list with at least one attribute; add attributes: [{name: title, type: "
            "string, from: title}]",
        )
    # The rest is checked with an attribute that is certainly right, so that errors of attributes,
    # which are checked one by one, are not reported twice.
    placeholder = [{"name": "placeholder", "type": "string"}]
    try:
        Template.model_validate({**shell, "attributes": placeholder})
    except ValidationError as error:
        yield from _explain(error, tree, (), Template)


def _attribute_errors(tree: Any) -> Iterator[TemplateError]:
    attributes = tree.get("attributes")
    for index, raw in enumerate(attributes if isinstance(attributes, list) else []):
        try:
            Attribute.model_validate(raw)
        except ValidationError as error:
            yield from _explain(error, tree, ("attributes", index), Attribute)


def _reference_errors(tree: Any) -> Iterator[TemplateError]:
    """Yield what is wrong between entries: names used twice, reserved names, formats of columns
    nobody reads.
    """
    attributes = tree.get("attributes")
    seen: dict[str, int | None] = {}
    for index, raw in enumerate(attributes if isinstance(attributes, list) else []):
        name = raw.get("name") if isinstance(raw, dict) else None
        if not isinstance(name, str):
            continue
        line = _line(tree, ("attributes", index, "name"))
        if name in seen:
            yield TemplateError(
                line,
                f"attributes[{index}].name",
                f"{name!r} is taken by line {seen[name]}; rename one",
            )
        seen.setdefault(name, line)
        if name in FIXED_ITEM_COLUMNS or "__" in name:
            yield TemplateError(
                line,
                f"attributes[{index}].name",
                f"{name!r} is a column of the tables; choose another name",
            )
    columns = _mapping(tree.get("columns"))
    used = _columns_used(tree, columns)
    for column in columns:
        if column not in used:
            close = difflib.get_close_matches(str(column), used, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            yield TemplateError(
                _line(tree, ("columns", column)),
                f"columns.{column}",
                f"no attribute reads this column{hint}; remove the entry or use it in from:",
            )


def _columns_used(tree: Any, columns: dict[Any, Any]) -> set[str]:
    """Return sources and columns that the template reads, those that are read together included."""
    used = {str(source) for source in _sources(tree)}
    used |= {split_source(source, columns)[0] for source in used}
    for column in used & set(columns):
        together = _mapping(columns[column]).get("all_of", ())
        used.update(map(str, together if isinstance(together, list) else [together]))
    return used


def _pattern_errors(tree: Any) -> Iterator[TemplateError]:
    """Yield what is wrong with names that stand for several columns."""
    attributes, columns = tree.get("attributes"), _mapping(tree.get("columns"))
    for index, raw in enumerate(attributes if isinstance(attributes, list) else []):
        given = _mapping(raw).get("from")
        for source in given if isinstance(given, list) else [given]:
            if LANGUAGE_MARK in str(source) and raw.get("type") != "localized":
                yield TemplateError(
                    _line(tree, ("attributes", index, "from")),
                    f"attributes[{index}].from",
                    f"{source} gives a text for each language, which needs type localized, not "
                    f"{raw.get('type')}; write one of the languages instead, or change the type",
                )
    for column, raw in columns.items():
        named_by = _mapping(raw).get("name_from")
        if named_by is not None and (NUMBER_MARK in str(named_by)) != (NUMBER_MARK in str(column)):
            yield TemplateError(
                _line(tree, ("columns", column, "name_from")),
                f"columns.{column}.name_from",
                f"{column!r} and {named_by!r} go together by their number; write {NUMBER_MARK} in "
                "both or in none",
            )
        if named_by is not None and _mapping(raw).get("all_of"):
            yield TemplateError(
                _line(tree, ("columns", column, "all_of")),
                f"columns.{column}",
                "name_from and all_of exclude each other; keep one",
            )


def _vector_errors(tree: Any) -> Iterator[TemplateError]:
    """Yield what is wrong between spaces of vectors, and between them and the attributes."""
    attributes, spaces = tree.get("attributes"), tree.get("vectors")
    parts = [
        str(raw["name"])
        for raw in (attributes if isinstance(attributes, list) else [])
        if isinstance(raw, dict) and "name" in raw
    ]
    parts.extend(IMAGE_PARTS)
    seen: dict[str, int | None] = {}
    for index, raw in enumerate(spaces if isinstance(spaces, list) else []):
        if not isinstance(raw, dict):
            continue
        where, name = f"vectors[{index}]", raw.get("name")
        if isinstance(name, str):
            line = _line(tree, ("vectors", index, "name"))
            if name in seen:
                taken = f"{name!r} is taken by line {seen[name]}; rename one"
                yield TemplateError(line, f"{where}.name", taken)
            seen.setdefault(name, line)
            if name.endswith(CHUNKS_SUFFIX):
                whose = name.removesuffix(CHUNKS_SUFFIX)
                taken = f"{name!r} is the table of the chunks of a space {whose!r}; rename it"
                yield TemplateError(line, f"{where}.name", taken)
        modality = raw.get("of")
        if name in ("text", "image") and modality in ("text", "image") and name != modality:
            yield TemplateError(
                _line(tree, ("vectors", index, "of")),
                f"{where}.of",
                f"the space {name} holds vectors of {name}, not of {modality}; write of: {name}, "
                "or choose another name",
            )
        yield from _part_errors(tree, index, raw, parts)


def _part_errors(
    tree: Any, index: int, raw: dict[str, Any], parts: list[str]
) -> Iterator[TemplateError]:
    where, given = f"vectors[{index}].parts", raw.get("parts")
    line = _line(tree, ("vectors", index, "parts"))
    if given and raw.get("of") == "image":
        problem = "a picture is encoded whole; remove parts, or write of: text"
        yield TemplateError(line, where, problem)
        return
    for part in given if isinstance(given, list) else []:
        if part not in parts:
            close = difflib.get_close_matches(str(part), parts, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(parts)}"
            problem = f"there is no attribute {part!r}; {hint}"
            yield TemplateError(line, where, problem)


def _sources(tree: Any) -> Iterator[Any]:
    many = TypeAdapter(OneOrMany)
    record = _mapping(tree.get("record"))
    images = _mapping(record.get("images"))
    entries = [record.get(name) for name in ("id", "group", "event_ts", "language")]
    entries += [images.get(name) for name in ("columns", "position")]
    attributes = tree.get("attributes")
    entries += [
        raw.get("from")
        for raw in (attributes if isinstance(attributes, list) else [])
        if isinstance(raw, dict)
    ]
    for entry in entries:
        if entry is not None:
            try:
                yield from many.validate_python(entry)
            except ValidationError:
                continue


def _mapping(node: Any) -> dict[Any, Any]:
    return node if isinstance(node, dict) else {}


def _explain(
    error: ValidationError, tree: Any, prefix: tuple[Any, ...], model: type[Strict]
) -> Iterator[TemplateError]:
    """Pydantic's findings in the template's own words."""
    for finding in error.errors():
        location = (*prefix, *finding["loc"])
        where = _written(location)
        kind, given = finding["type"], finding.get("input")
        if kind == "extra_forbidden":
            allowed = _allowed_keys(model, finding["loc"][:-1])
            close = difflib.get_close_matches(str(location[-1]), allowed, n=1)
            problem = (
                f"unknown key; did you mean {close[0]!r}?"
                if close
                else f"unknown key; allowed: {', '.join(allowed)}"
            )
        elif kind == "missing":
            problem = "is missing; add it"
        elif kind == "string_pattern_mismatch":
            problem = f"{given!r} does not fit; write {_fitting(where)}"
        elif kind == "value_error":
            problem = str(finding["ctx"]["error"])
        else:
            problem = f"{finding['msg']}, not {shorten(repr(given), 80)}"
        yield TemplateError(_line(tree, location), where or "template", problem)


def _written(location: tuple[Any, ...]) -> str:
    """Return a place as people write it: attributes[0].from."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).lstrip(".")


def _fitting(where: str) -> str:
    if where.startswith("vectors["):
        return _FITTING_SPACE
    if where.startswith("columns."):
        return _FITTING_FIELDS
    return _FITTING.get(where, _FITTING_NAME)


def _allowed_keys(model: type[Strict], location: tuple[Any, ...]) -> list[str]:
    fields: Any = model.model_fields
    for part in location:
        field = fields.get(part) if isinstance(part, str) else None
        annotation = getattr(field, "annotation", None)
        nested = [
            t
            for t in (annotation, *getattr(annotation, "__args__", ()))
            if hasattr(t, "model_fields")
        ]
        if not nested and annotation is not None:
            break
        if nested:
            fields = nested[0].model_fields
    return [field.alias or name for name, field in fields.items()]


def _line(tree: Any, location: tuple[Any, ...]) -> int | None:
    """Return the 1-based line of a place in the YAML tree, or of the nearest place above it; None
    for the whole file.
    """
    line: int | None = None
    node = tree
    for part in location:
        marks = getattr(node, "lc", None)
        if isinstance(node, dict) and part in node and marks is not None:
            line = marks.key(part)[0] + 1
            node = node[part]
        elif (
            isinstance(node, list)
            and isinstance(part, int)
            and part < len(node)
            and marks is not None
        ):
            line = marks.item(part)[0] + 1
            node = node[part]
        else:
            break
    return line
