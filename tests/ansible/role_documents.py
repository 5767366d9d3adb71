#!/usr/bin/env python3
"""The roles' argument specifications against the settings model, and their READMEs out of the specifications.

`python tests/ansible/role_documents.py --write` brings both up to date; test_role_documents.py compares.
"""

from __future__ import annotations

import sys
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(CHECKOUT / "appliance/src"), str(CHECKOUT / "collections")]

from ansible_collections.capstan.appliance.plugins.plugin_utils.inventory_model import spelt_size  # noqa: E402

from capstan.config import (  # noqa: E402 - found by the path above
    BUILT_METHODS,
    INVENTORY_VARIABLES,
    CaptureConfig,
)
from capstan.config_fields import AUTO_METHOD  # noqa: E402

ROLES = CHECKOUT / "roles"
# Entry points that take the settings of a capture host.
TAKE_SETTINGS = {("appliance", "main"), ("appliance", "verify"), ("preflight", "main")}

# Readers of values that may be text or number, or words that YAML takes for truth values.
READ_BY_THE_MODEL = (
    "parse_size",
    "_switch",
    "_pci",
    "_mac",
    "_cores",
    "_streams",
    "_tunnels",
    "_attribute",
    "_queues",
    "_pages_per_node",
    "_leave_or_count",
    "_leave_or_flags",
)


def setting_options() -> dict[str, Any]:
    """Every `capture_*` setting as an option of an argument specification."""
    return {variable: _option(CaptureConfig, variable.removeprefix("capture_")) for variable in INVENTORY_VARIABLES}


def _option(model: type[BaseModel], name: str) -> dict[str, Any]:
    field = model.model_fields[name]
    option: dict[str, Any] = {"description": field.description, **_type(field.annotation, field.metadata)}
    if field.is_required():
        option["required"] = True
    elif field.default is not None and not isinstance(field.default, BaseModel):
        default = spelt_size(field.default) if _named(field.metadata, "parse_size") else field.default
        option["default"] = list(default) if default == () else default if isinstance(default, int) else str(default)
    return option


def _type(annotation: Any, metadata: list[Any]) -> dict[str, Any]:
    inner = _model_in(annotation)
    if _named(metadata, "_entries"):
        return {"type": "list"}  # by the model alone, whose sentences show no address that need not be shown
    if inner is not None:
        options = {name: _option(inner, name) for name in inner.model_fields}
        listed = get_origin(annotation) is tuple
        return (
            {"type": "list", "elements": "dict", "options": options} if listed else {"type": "dict", "options": options}
        )
    if annotation is bool:
        return {"type": "bool"}
    if get_origin(annotation) is tuple:
        return {"type": "list", "elements": _type(get_args(annotation)[0], [])["type"]}
    parts = {part for part in (annotation, *get_args(annotation)) if part is not type(None)}
    literals = {part for part in parts if get_origin(part) is Literal}
    if any(_named(metadata, reader) for reader in READ_BY_THE_MODEL):
        return {"type": "raw"}
    if literals or _named(_all_metadata(annotation), "_method"):
        return {
            "type": "str",
            "choices": list(get_args(literals.pop())) if literals else [*BUILT_METHODS, AUTO_METHOD],
        }
    return {"type": "int" if int in parts else "path" if PurePosixPath in map(_plain, parts) else "str"}


def _plain(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _all_metadata(annotation: Any) -> list[Any]:
    return [rule for part in get_args(annotation) for rule in getattr(part, "__metadata__", ())]


def _named(metadata: list[Any], function: str) -> bool:
    return any(getattr(getattr(rule, "func", None), "__name__", "") == function for rule in metadata)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)


def specification(role: str) -> dict[str, Any]:
    """The role's argument specification as it should be: its own options, and the model's settings."""
    text = (ROLES / role / "meta/argument_specs.yml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    for entry, spec in document["argument_specs"].items():
        own = {name: option for name, option in spec.get("options", {}).items() if name not in INVENTORY_VARIABLES}
        spec["options"] = {**(setting_options() if (role, entry) in TAKE_SETTINGS else {}), **own}
    return document


def readme(role: str) -> str:
    """The role's page, out of its argument specification."""
    entries = specification(role)["argument_specs"]
    lines = [f"# {role}", ""]
    for entry, spec in entries.items():
        if entry != "main":
            lines += [f"## Entry point `{entry}`", ""]
        lines += [f"{spec['short_description']}.", ""]
        lines += [paragraph + "\n" for paragraph in spec.get("description", [])]
        known = entries["main"]["options"] if entry != "main" else {}
        new = {name: option for name, option in spec["options"].items() if name not in known}
        if len(new) < len(spec["options"]):
            lines += [f"Takes variables of the main entry point: {_names(spec['options'], new)}.", ""]
        if new:
            lines += ["| variable | type | default | what it is |", "| --- | --- | --- | --- |"]
            lines += [row for name, option in new.items() for row in _rows(name, option)]
            lines.append("")
    return "\n".join(lines)


def _names(options: dict[str, Any], new: dict[str, Any]) -> str:
    shared = [name for name in options if name not in new]
    return "the settings" if len(shared) > 1 else f"`{shared[0]}`"


def _rows(name: str, option: dict[str, Any]) -> list[str]:
    kind = {"raw": "text or number"}.get(option["type"], option["type"])
    if "elements" in option:
        kind = f"{kind} of {option['elements']}"
    if "choices" in option:
        kind = f"{kind}: {', '.join(map(str, option['choices']))}"
    default = (
        "**required**" if option.get("required") else f"`{_shown(option['default'])}`" if "default" in option else ""
    )
    description = option["description"]
    text = description if isinstance(description, str) else " ".join(description)
    rows = [f"| `{name}` | {kind} | {default} | {text.replace('|', chr(92) + '|')} |"]
    mark = "[]" if option["type"] == "list" else ""
    for inner, inner_option in option.get("options", {}).items():
        rows += _rows(f"{name}{mark}.{inner}", inner_option)
    return rows


def _shown(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()


class _Indented(yaml.SafeDumper):
    """Lists indented below their key, as yamllint wants them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def write() -> None:
    """Bring specifications and READMEs up to date."""
    for role in sorted(path.name for path in ROLES.iterdir()):
        document = specification(role)
        text = yaml.dump(document, Dumper=_Indented, sort_keys=False, width=120, allow_unicode=True)
        (ROLES / role / "meta/argument_specs.yml").write_text(f"---\n{text}", encoding="utf-8")
        (ROLES / role / "README.md").write_text(readme(role), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: role_documents.py --write")
    write()
