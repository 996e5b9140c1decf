"""The JSON schema of `params.yaml`, for editors; made from the classes, never by hand."""

from pathlib import Path

from seqrepro.config.parameters import Parameters
from seqrepro.files import write_json

SCHEMA = Path("workflow/schemas/params.schema.json")


def write_schema(path: Path = SCHEMA) -> None:
    """Write the schema (JSON Schema 2020-12)."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Parameters.model_json_schema()}
    write_json(path, schema)
