"""Tables of the words of the recipe language, out of the schema that is made of the Rust types and their comments."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

SCHEMA = json.loads((Path(__file__).parents[1] / "python/vlmres/recipe.schema.json").read_text(encoding="utf-8"))
DEFINITIONS: dict[str, Any] = SCHEMA["definitions"]
# A number that stands for none.
NO_LIMIT = (1 << 32) - 1


COMMON = Path(__file__).parents[1] / "src/recipe/builtin/common.toml"
# Sections whose words `common.toml` gives to every recipe, and words of a recipe that need not be there.
SECTIONS = {"Recipe": "", "Pixels": "pixels", "Patches": "patches", "Tokens": "tokens", "Boxes": "boxes"}
OPTIONAL = {"extends", "params", "checkpoint", "video"}


def _common() -> dict[str, dict[str, str]]:
    """Words and values of `common.toml` by section, parameters filled in; a section is a word of the recipe."""
    link = "[common](#what-every-recipe-starts-from)"
    sections: dict[str, dict[str, str]] = {"": {}}
    words = sections[""]
    for line in COMMON.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            sections[""][line[1:-1]] = link
            words = sections[line[1:-1]] = {}
        elif " = " in line and not line.startswith("#"):
            word, _, value = line.partition(" = ")
            words[word] = sections["params"][value.strip('"$')] if '"$' in value else f"`{value}`"
    return sections


COMMON_WORDS = _common()


def words(name: str) -> str:
    """The words of a table."""
    rows = ["| word | default | says |", "|---|---|---|"]
    for word, schema in DEFINITIONS[name]["properties"].items():
        says = f"{_text(schema)} See below." if word == "kind" else _says(schema)
        rows.append(f"| `{word}` | {_default(name, word, schema)} | {says} |")
    return "\n".join(rows)


def kinds(name: str) -> str:
    """The kinds of a table that has a `kind`, each with its arguments."""
    rows = ["| kind | argument | default | says |", "|---|---|---|---|"]
    for variant in DEFINITIONS[name]["oneOf"]:
        arguments = dict(variant["properties"])
        kind = arguments.pop("kind")["const"]
        rows.append(f"| **`{kind}`** | | | {_text(variant)} |")
        for word, schema in arguments.items():
            rows.append(f"| | `{word}` | {_default(variant, word, schema)} | {_says(schema)} |")
    return "\n".join(rows)


def outputs() -> str:
    """The kinds of output, each with the words that it has."""
    rules = DEFINITIONS["OutputSpec"]["allOf"]
    has = {rule["if"]["properties"]["kind"]["const"]: rule["then"]["propertyNames"]["enum"][3:] for rule in rules}
    rows = ["| kind | is | has |", "|---|---|---|"]
    for variant in DEFINITIONS["OutputKind"]["oneOf"]:
        kind = variant["const"]
        rows.append(f"| `{kind}` | {_text(variant)} | {', '.join(f'`{word}`' for word in has[kind])} |")
    return "\n".join(rows)


def values(name: str) -> str:
    """The values that a word may have."""
    rows = ["| value | says |", "|---|---|"]
    rows += [f"| {value} | {says} |" for value, says in _values(DEFINITIONS[name])]
    return "\n".join(rows)


def _values(schema: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    for variant in schema.get("oneOf", schema.get("anyOf", [])):
        if "const" in variant:
            found.append((f"`{json.dumps(variant['const'])}`", _text(variant)))
        elif list(variant.get("properties", {})) and len(variant.get("required", [])) == 1:
            (word,) = variant["required"]
            inner = variant["properties"][word]
            arguments = _definition(inner).get("properties", {})
            shown = f"{{ {', '.join(arguments)} }}" if arguments else "…"
            parts = "".join(f" `{name}`: {_text(one)}" for name, one in arguments.items())
            found.append((f"`{{ {word} = {shown} }}`", f"{_text(variant) or _text(inner)}{parts}"))
        elif "$ref" in variant or "allOf" in variant:
            found += _values(_definition(variant))
        elif variant.get("type") == "array":
            found.append(("a list", _text(variant)))
        elif variant.get("type") in ("integer", "number"):
            found.append(("a number", _text(variant)))
    return found


def _says(schema: dict[str, Any]) -> str:
    definition = _definition(schema)
    text = _text(schema) or _text(definition)
    options = _values(definition)
    if options and "kind" not in str(definition.get("oneOf", [{}])[0].get("properties", "")):
        text = f"{text} " + "; ".join(f"{value}: {says.rstrip('.')}" for value, says in options if says)
        text = text.rstrip()
    return text


def _definition(schema: dict[str, Any]) -> dict[str, Any]:
    """What a schema refers to, parameters and nothing aside."""
    while True:
        if "$ref" in schema:
            schema = DEFINITIONS[schema["$ref"].rpartition("/")[2]]
            continue
        others = [
            one
            for one in schema.get("anyOf", schema.get("allOf", []))
            if one.get("$ref") != "#/definitions/Parameter" and one.get("type") != "null"
        ]
        if len(others) != 1 or "oneOf" in schema:
            return schema
        schema = others[0]


def _default(owner: str | dict[str, Any], word: str, schema: dict[str, Any]) -> str:
    definition = DEFINITIONS[owner] if isinstance(owner, str) else owner
    if word in definition.get("required", []):
        return "needed"
    common = COMMON_WORDS.get(SECTIONS.get(str(owner), "none"), {})
    if word in common:
        return common[word]
    value = schema.get("default", _definition(schema).get("default"))
    # The schema lets a recipe write a part of these; the rest may be that of the recipe that it extends.
    if owner in ("Recipe", "Video") and "default" not in schema and word not in OPTIONAL:
        return "needed"
    if value is None or value == NO_LIMIT or isinstance(value, dict):
        return ""
    return f"`{json.dumps(value)}`"


def _text(schema: dict[str, Any]) -> str:
    text = re.sub(r"\[(`[^`\]]+`)\](\([^)]*\))?", r"\1", schema.get("description", ""))
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()
