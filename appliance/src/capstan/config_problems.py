"""One sentence for each mistake in the settings: which key, what is wrong, what to write instead."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from capstan.quantities import format_size, parse_size

_CONTRADICTIONS = "contradictions"
NOT_IN_INVENTORY = frozenset({"version", "host"})  # the role writes these itself


def one_of(choices: Iterable[object]) -> str:
    """Write choices as a person would: "a, b or c"."""
    *rest, last = [str(choice) for choice in choices]
    return f"{', '.join(rest)} or {last}" if rest else last


def did_you_mean(word: object, choices: Iterable[str]) -> str:
    """A clause for a likely misspelling: " (did you mean 'af_xdp'?)", or nothing."""
    close = difflib.get_close_matches(str(word), list(choices), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


def whole_number(value: object, wanted: str) -> int:
    """Read a whole number that may have come as text, as `-e key=value` gives it; truth values are none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        return int(value)
    raise ValueError(f"is {value!r}; write {wanted}")


def plain_number(value: object) -> int:
    """Read a whole number; see whole_number."""
    return whole_number(value, "a whole number")


def pci_from_base_60(value: float) -> str:
    """The PCI address that YAML 1.1 read as a base-60 number: 1140.1 -> "0000:19:00.1".

    An unquoted 0000:19:00.1 consists of decimal digits and colons, which YAML 1.1 takes for degrees (hours, minutes,
    seconds). The digits are recovered exactly; an int comes from an address without a function.
    """
    whole = math.floor(value)
    domain, bus, device = whole // 3600, whole // 60 % 60, whole % 60
    function = round((value - whole) * 10) % 8
    return f"{domain:04d}:{bus:02d}:{device:02d}.{function}"


def contradiction_error(contradictions: Sequence[tuple[str, str]]) -> PydanticCustomError:
    """Carry several (key, sentence) pairs out of one model validator."""
    return PydanticCustomError(
        _CONTRADICTIONS, "settings contradict each other", {_CONTRADICTIONS: list(contradictions)}
    )


def plain(value: object) -> object:
    """Reduce what Ansible hands over (subclasses that carry origin and trust) to plain YAML values."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    for kind in (str, int, float):
        if isinstance(value, kind) and not isinstance(value, bool):
            return kind(value)
    return value


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key that is written twice is an error; PyYAML alone keeps the last one in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is written twice; keep one of the two", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(text: str) -> object:
    """Read YAML as PyYAML's safe loader does, refusing keys that are written twice."""
    return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a subclass of the safe loader


def yaml_sentence(error: yaml.YAMLError) -> str:
    """Say where YAML stopped making sense."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return f"is not YAML: {error}"


def sentences(error: ValidationError, model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every problem of a failed validation as "key: sentence", keys written as the operator wrote them."""
    return [f"{prefix}{key}: {sentence}" for detail in error.errors() for key, sentence in _told(detail, model, prefix)]


def _told(detail: ErrorDetails, model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
    if detail["type"] == _CONTRADICTIONS:
        yield from detail["ctx"][_CONTRADICTIONS]
        return
    location = detail["loc"]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")
    yield (
        key,
        _sentence(detail, _model_at(model, location[:-1]), str(location[-1]), prefix if len(location) == 1 else ""),
    )


def _sentence(detail: ErrorDetails, parent: type[BaseModel], name: str, prefix: str) -> str:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    field = parent.model_fields.get(name)
    match kind:
        case "value_error":
            return str(context["error"])
        case "missing":
            example = f" such as {_flow(field.examples[0])}" if field is not None and field.examples else ""
            return f"is missing; write it{example}"
        case "extra_forbidden":
            known = [prefix + key for key in parent.model_fields if not prefix or key not in NOT_IN_INVENTORY]
            return f"is not a setting{did_you_mean(prefix + name, known)}; write one of {', '.join(known)}"
        case "model_type" | "model_attributes_type" | "dict_type":
            inner = _inner_model(field.annotation) if field is not None else None
            keys = f" with keys of {', '.join(inner.model_fields)}" if inner is not None else ""
            return f"is {value!r}; write a mapping{keys}"
        case "literal_error":
            choices = get_args(field.annotation) if field is not None else ()
            wanted = context["expected"].replace("'", "")
            return f"is {value!r}{did_you_mean(value, map(str, choices))}; write {wanted}"
        case "bool_type" | "bool_parsing":
            return f"is {value!r}; write true or false"
        case "string_type":
            return f"is {value!r}, which YAML does not read as a text; put it in quotes"
        case "greater_than_equal":
            return f"is {value!r}; write {_bound(context['ge'], field)} or more"
        case "less_than_equal":
            return f"is {value!r}; write {_bound(context['le'], field)} or less"
        case _:
            return f"is {value!r}: {detail['msg']}"


def _bound(bound: int, field: FieldInfo | None) -> str:
    is_size = field is not None and any(getattr(entry, "func", None) is parse_size for entry in field.metadata)
    return format_size(bound) if is_size else str(bound)


def _flow(example: object) -> str:
    return yaml.safe_dump(example, default_flow_style=True, width=1000).strip()


def _inner_model(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _inner_model(part)) is not None), None)


def _model_at(model: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel]:
    for part in location:
        field = model.model_fields.get(str(part))
        inner = _inner_model(field.annotation) if field is not None else None
        model = inner or model
    return model
