"""Model classes of the TranscriptionJob as the official client's generator writes them for the built-in resources.

The client ships none for custom resources. They are written from the CRD by the generator's own pattern (an
`openapi_types` and an `attribute_map`, a property with a setter for each field, the checks of the schema in the setter)
and put where the client looks its models up. Used by api_lists.
"""

import keyword
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from kubernetes.client import models
from kubernetes.client.configuration import Configuration

from crds.transcriptionjob import KIND

CRD = Path(__file__).parents[2] / "crds/transcriptionjobs.yaml"
LIST = f"{KIND}List"

NATIVE = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
HEAD = """class {name}(object):
    openapi_types = {types!r}
    attribute_map = {names!r}

    def __init__(self, {arguments}, local_vars_configuration=None):
        if local_vars_configuration is None:
            local_vars_configuration = Configuration.get_default_copy()
        self.local_vars_configuration = local_vars_configuration
"""
ASSIGN = "        if {field} is not None:\n            self.{field} = {field}\n"
ASSIGN_REQUIRED = "        self.{field} = {field}\n"
PROPERTY = """
    @property
    def {field}(self):
        return self._{field}

    @{field}.setter
    def {field}(self, {field}):
"""
CHECK = """        if self.local_vars_configuration.client_side_validation and {fault}:
            raise ValueError({message!r})
"""

TESTS = {
    "maxLength": "len({0}) > {1}",
    "minLength": "len({0}) < {1}",
    "maximum": "{0} > {1}",
    "minimum": "{0} < {1}",
    "maxItems": "len({0}) > {1}",
    "minItems": "len({0}) < {1}",
    "pattern": "not re.search({1!r}, {0})",
    "enum": "{0} not in {1!r}",
}
"""What the setter refuses, by the schema's word for it."""


def install() -> str:
    """Make the classes known to the client; the name of the list's class."""
    schema = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    properties = schema["properties"] | {"metadata": {"$model": "V1ObjectMeta"}}
    _install(KIND, schema | {"properties": properties})
    items = {"type": "array", "items": {"$model": KIND}}
    text = {"type": "string"}
    fields = {"apiVersion": text, "items": items, "kind": text, "metadata": {"$model": "V1ListMeta"}}
    _install(LIST, {"type": "object", "required": ["items"], "properties": fields})
    return LIST


def _install(name: str, schema: Mapping[str, Any]) -> None:
    space: dict[str, Any] = {"Configuration": Configuration, "re": re}
    exec(_write(name, schema), space)  # a generator's output
    setattr(models, name, space[name])


def _write(name: str, schema: Mapping[str, Any]) -> str:
    properties = {_snake(key): (key, part) for key, part in schema["properties"].items()}
    required = {_snake(key) for key in schema.get("required", ())}
    types = {field: _type(name, key, part) for field, (key, part) in properties.items()}
    names = {field: key for field, (key, _) in properties.items()}
    arguments = ", ".join(f"{field}=None" for field in properties)
    lines = [HEAD.format(name=name, types=types, names=names, arguments=arguments)]
    lines += [f"        self._{field} = None\n" for field in properties]
    lines += ["        self.discriminator = None\n"]
    lines += [(ASSIGN_REQUIRED if field in required else ASSIGN).format(field=field) for field in properties]
    for field, (_, part) in properties.items():
        lines += [PROPERTY.format(field=field), *_checks(field, part, is_required=field in required)]
        lines += [f"        self._{field} = {field}\n"]
    return "".join(lines)


def _type(owner: str, key: str, schema: Mapping[str, Any]) -> str:
    """The generator's word for a type; a nested object becomes a class of its own."""
    if model := schema.get("$model"):
        return str(model)
    if schema["type"] == "array":
        return f"list[{_type(owner, key, schema['items'])}]"
    if "additionalProperties" in schema:
        return f"dict[str, {_type(owner, key, schema['additionalProperties'])}]"
    if "properties" in schema:
        name = owner + key[0].upper() + key[1:]
        _install(name, schema)
        return name
    if schema["type"] == "object":
        return "object"
    return "datetime" if schema.get("format") == "date-time" else NATIVE[schema["type"]]


def _checks(field: str, schema: Mapping[str, Any], *, is_required: bool) -> list[str]:
    faults = [f"{field} is None"] if is_required else []
    for word, test in TESTS.items():
        if word in schema:
            faults.append(f"{field} is not None and " + test.format(field, schema[word]))
    return [CHECK.format(fault=fault, message=f"Invalid value for `{field}`") for fault in faults]


def _snake(name: str) -> str:
    word = re.sub(r"(?<=[a-z0-9])([A-Z])|(?<=[A-Z])([A-Z])(?=[a-z])", lambda m: "_" + m[0], name).lower()
    return f"_{word}" if keyword.iskeyword(word) else word
