"""What every model of a manifest shares: spelling, strictness, and that nothing is lost.

Manifests are JSON as Go's encoding/json reads it: `null` is the same as absent, a zero value is the same
as an absent one, and a boolean is never a string.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import WithJsonSchema

from mooring.errors import Refused

# Names in which Argo CD's spelling is not plain camelCase.
_SPELLING = {
    "repo_url": "repoURL",
    "external_urls": "externalURLs",
    "dry_sha": "drySHA",
    "hydrated_sha": "hydratedSHA",
    "key_id": "keyID",
    "self_heal_attempts_count": "autoHealAttemptsCount",
}

Bool = StrictBool
Int = Annotated[StrictInt, WithJsonSchema({"type": "integer", "format": "int64"})]
# Kept as the text it is: it goes back to the API server exactly as it came.
Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
FreeForm = Annotated[
    dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
]
IntOrString = Annotated[
    StrictInt | str,
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}),
]


@cache
def _spell(name: str) -> str:
    return _SPELLING.get(name) or to_camel(name)


@lru_cache(maxsize=4096)
def _same(text: str) -> str:
    """One string for all that say the same, as long as it is among the last ones. Interned, each would stay
    for ever in some versions of Python, and messages and times are new each time.

    It is a copy: `text` lies among all that a long list was read into, and would keep the memory of its
    neighbours."""
    return (text + " ")[:-1]


def _own(text: str) -> str:
    return _same(text) if len(text) <= _SHORT else _same.__wrapped__(text)


_SHORT: Final = 100  # characters; what is longer is seldom said twice, and is not to stay for that


# Never written to: a copy of a part has copies of them.
_UNTOLD: Final[set[str]] = set()
_NOTHING: Final[dict[str, Any]] = {}


class Part(BaseModel):
    """One frozen piece of a manifest. Attributes are snake_case, the manifest's keys are Argo CD's.

    Keys that no field knows are kept (`unknown()` lists them) and written back by `to_dict()`.
    """

    model_config = ConfigDict(
        frozen=True, extra="allow", alias_generator=_spell, validate_by_name=True, validate_by_alias=True
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {
                key: _own(value) if type(value) is str else value
                for key, value in data.items()
                if value is not None
            }
        return data

    @model_validator(mode="after")
    def _light(self) -> Self:
        """Without a set of its own of which fields were told, that nobody asks for: it takes as much as the
        fields, and each worker remembers all Applications."""
        object.__setattr__(self, "__pydantic_fields_set__", _UNTOLD)
        if not self.__pydantic_extra__:
            object.__setattr__(self, "__pydantic_extra__", _NOTHING)
        return self

    def to_dict(self) -> dict[str, Any]:
        """As JSON for the API server: the manifest's spelling, without what has its zero value."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    def unknown(self, path: str = "") -> Iterator[str]:
        """Paths (`spec.sources[0].foo`) of the keys below this part that no field knows."""
        prefix = f"{path}." if path else ""
        yield from (f"{prefix}{key}" for key in self.model_extra or ())
        for name in type(self).model_fields:
            value, here = getattr(self, name), f"{prefix}{_spell(name)}"
            if isinstance(value, Part):
                yield from value.unknown(here)
            elif isinstance(value, tuple):
                for index, item in enumerate(value):
                    if isinstance(item, Part):
                        yield from item.unknown(f"{here}[{index}]")

    def reused(self, raw: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
        """`raw` with parts of this one in place of what is the same there as in `own`, of which this one was
        read: they are not read again."""
        fields = {_spell(name): getattr(self, name) for name in type(self).model_fields}
        return {
            key: fields[key] if key in fields and fields[key] is not None and own.get(key) == value else value
            for key, value in raw.items()
        }

    @classmethod
    def read(cls, raw: dict[str, Any], title: str) -> Self:
        """Parse a manifest. Raises Refused naming `title` and the path of the first field that is wrong.

        The message never shows a value: a field may hold a credential.
        """
        try:
            return cls.model_validate(raw, by_alias=True, by_name=False)
        except ValidationError as error:
            first, *more = error.errors(include_url=False, include_input=False, include_context=False)
            path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
            why = "is missing" if first["type"] == "missing" else first["msg"].replace("Input ", "")
            others = f" (and {len(more)} more)" if more else ""
            raise Refused(
                f"{title}: {path.lstrip('.')}: {why}{others}", condition="InvalidSpecError"
            ) from error


class Metadata(Part):
    """The part of ObjectMeta that we read."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    uid: str = ""
    resource_version: str = ""
    generation: Int = 0
    finalizers: tuple[str, ...] = ()
    creation_timestamp: Time = ""
    deletion_timestamp: Time = ""
    deletion_grace_period_seconds: Int | None = None
    owner_references: tuple[FreeForm, ...] = ()
    managed_fields: tuple[FreeForm, ...] = ()
    self_link: str = ""
