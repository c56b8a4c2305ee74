"""Write contract.json: what the API of Kubeflow Pipelines takes and answers, without the text for people.

    python tests/kubeflow_api/write_contract.py kfp_api_single_file.swagger.json

The OpenAPI 2.0 document is that of the server, from the repository of Kubeflow Pipelines, in
backend/api/v2beta1/swagger; Apache-2.0. To be run again for a newer server. Every operation and definition is kept, so
that what conforms to the one conforms to the other.
"""

import json
import sys
from pathlib import Path
from typing import Any

CONTRACT = Path(__file__).with_name("contract.json")
CHECKED = {"type", "format", "enum", "items", "required", "additionalProperties", "$ref", "schema", "in", "name"}
"""What of a parameter, an answer or a type says something that can be checked."""
HOLDERS = {"properties", "responses"}
"""Whose keys are names that the API chose."""


def trimmed(found: Any) -> Any:
    """Return the part of a schema, a parameter or an operation that can be checked."""
    if isinstance(found, list):
        return [trimmed(item) for item in found]
    if not isinstance(found, dict):
        return found
    kept = {key: trimmed(value) for key, value in found.items() if key in CHECKED | {"parameters"}}
    held = {key: named(found[key]) for key in HOLDERS & found.keys()}
    return kept | {key: held[key] for key in sorted(held)}


def named(found: dict[str, Any]) -> dict[str, Any]:
    return {name: trimmed(value) for name, value in found.items()}


def main(document: Path) -> None:
    whole = json.loads(document.read_text(encoding="utf-8"))
    info = {"title": whole["info"]["title"], "version": whole["info"]["version"], "license": "Apache-2.0"}
    paths = {path: named(methods) for path, methods in whole["paths"].items()}
    parts = {"paths": paths, "definitions": named(whole["definitions"])}
    lines = [
        f'"{part}":{{\n' + ",\n".join(f"{json.dumps(name)}:{compact(value)}" for name, value in entries.items()) + "\n}"
        for part, entries in parts.items()
    ]
    CONTRACT.write_text("{\n" + ",\n".join([f'"info":{compact(info)}', *lines]) + "\n}\n", encoding="utf-8")


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
