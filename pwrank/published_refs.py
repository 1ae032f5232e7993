"""What one night was made from: the refs that lie behind a publication."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from pwrank.datasets import DatasetRef
from pwrank.errors import LakeError
from pwrank.store import Store

DEGRADED = "degraded"
"""Figure of a ref that stands in for a better one: what the night does without, and why."""


@dataclass(frozen=True)
class NightRefs:
    """Everything that scoring reads; refs only, so that it can cross to another machine."""

    histories: DatasetRef
    catalogue: DatasetRef
    embeddings: DatasetRef
    model: DatasetRef
    index: DatasetRef

    def refs(self) -> tuple[DatasetRef, ...]:
        """In the order of the data flow."""
        return (self.histories, self.catalogue, self.embeddings, self.model, self.index)

    def by_role(self) -> dict[str, DatasetRef]:
        """The same by name."""
        return dict(self.__dict__)

    def degraded(self) -> list[str]:
        """Roles whose ref stands in for a better one."""
        return [role for role, ref in self.by_role().items() if DEGRADED in ref.figures]

    def to_json(self) -> dict[str, Any]:
        """For the manifest of the publication."""
        return {
            role: {
                "name": ref.name,
                "as_of": str(ref.as_of),
                "key": ref.key,
                "rows": ref.rows,
                "figures": dict(ref.figures),
            }
            for role, ref in self.__dict__.items()
        }


def read_night(store: Store, publication: Mapping[str, Any]) -> NightRefs:
    """The refs behind a publication. Raises LakeError if they were retired since."""
    found = {}
    for role, told in publication["inputs"].items():
        as_of = date.fromisoformat(told["as_of"])
        # Embeddings are shared by all dates and merged into larger parts as they grow in number.
        complete = told["name"] != "embeddings"
        ref = store.reuse(told["name"], as_of, told["key"], complete=complete)
        if ref is None:
            raise LakeError(
                f"{publication['as_of']}: its {role} are no longer in the lake; "
                f"`pwrank run --as-of {publication['as_of']}` makes them again"
            )
        found[role] = ref
    return NightRefs(**found)
