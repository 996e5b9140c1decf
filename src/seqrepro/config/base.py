"""What all configuration classes share: strictness, and the canonical form that gives a run its name."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticUndefined

IDENTITY: dict[str, Any] = {"identity": True}


class Configuration(BaseModel):
    """A frozen set of parameters that knows no other keys and converts no types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    def canonical(self) -> dict[str, Any]:
        """The parameters as JSON values, without fields that stand at their identity default.

        A field with an identity default does nothing at that value, so a feature added later does not rename
        the runs that do not use it.
        """
        return {
            name: canonical_value(getattr(self, name))
            for name, field in type(self).model_fields.items()
            if not (field.json_schema_extra == IDENTITY and getattr(self, name) == field.default)
        }


def identity(default: Any, **constraints: Any) -> Any:
    """A field whose default means 'this feature is not there'."""
    if default is PydanticUndefined:
        raise TypeError("an identity field needs a default")
    return Field(default, json_schema_extra=IDENTITY, **constraints)


def canonical_value(value: Any) -> Any:
    """A parameter value as JSON: configurations become objects, tuples become lists."""
    if isinstance(value, Configuration):
        return value.canonical()
    if isinstance(value, tuple | list):
        return [canonical_value(item) for item in value]
    if isinstance(value, dict):
        return {key: canonical_value(item) for key, item in value.items()}
    return value
