"""JSON Schemas of Kubernetes' kinds, as kubeconform reads them: from an API server's OpenAPI, and from definitions."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Schema = dict[str, Any]
LOCATION = "{{.Group}}-{{.ResourceAPIVersion}}-{{.ResourceKind}}.json"
"""kubeconform's name of a file: the kind is in lower case, and of `v1` it says that the group is called so too."""
REFERENCE = re.compile(r'"\$ref": "#/components/schemas/([^"]+)"')


def write_served(document: Schema, folder: Path) -> None:
    """A file for each kind of an OpenAPI document of one group and version."""
    schemas = {name: closed(schema) for name, schema in document["components"]["schemas"].items()}
    for name, schema in schemas.items():
        for kind in schema.get("x-kubernetes-group-version-kind", []):
            needed = {other: schemas[other] for other in reached(name, schemas)}
            whole = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": needed}}
            _file(folder, kind["group"], kind["version"], kind["kind"]).write_text(json.dumps(whole))


def write_defined(definition: Schema, folder: Path) -> None:
    """A file for each version of a CustomResourceDefinition."""
    spec = definition["spec"]
    for version in spec["versions"]:
        schema = closed(version["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = {"type": "object"}
        _file(folder, spec["group"], version["name"], spec["names"]["kind"]).write_text(json.dumps(schema))


def closed(schema: Schema) -> Schema:
    """The same, taking no fields but those it names."""
    result = dict(schema)
    if "properties" in schema:
        result["properties"] = {name: closed(one) for name, one in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            result.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            result[key] = closed(schema[key])
    return result


def reached(name: str, schemas: Mapping[str, Schema]) -> set[str]:
    """The names of a schema and of all that it refers to, at any depth."""
    found, fresh = set(), {name}
    while fresh:
        found |= fresh
        fresh = {other for one in fresh for other in REFERENCE.findall(json.dumps(schemas[one]))} - found
    return found


def paths_of(versions: Iterable[str]) -> dict[str, str]:
    """Where an API server serves the OpenAPI of each apiVersion."""
    return {version: f"/openapi/v3/{'apis' if '/' in version else 'api'}/{version}" for version in versions}


def _file(folder: Path, group: str, version: str, kind: str) -> Path:
    return folder / f"{group or version}-{version}-{kind.lower()}.json"
