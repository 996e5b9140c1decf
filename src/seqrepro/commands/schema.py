"""`seqrepro schema`: write the JSON schema of params.yaml."""

from seqrepro.commands.arguments import parser
from seqrepro.config.schema import SCHEMA, write_schema


def main(words: list[str]) -> int:
    """Write the schema file."""
    parser("schema", f"write {SCHEMA}").parse_args(words)
    write_schema()
    return 0
