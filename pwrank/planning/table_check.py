"""What a look at the first rows of a source tells, file by file and table by table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pwrank.planning.source_sample import Rejected
from pwrank.sources import Table


@dataclass(frozen=True)
class FileCheck:
    """What the first rows of one file look like."""

    file: str
    rows: int
    usable: int
    whole: bool
    """Whether the file has no other rows."""
    rejected: tuple[Rejected, ...]
    refusal: str | None
    """Why a run will refuse it; None if it will not, as far as these rows tell."""

    @property
    def may_be_better(self) -> bool:
        """Whether it is refused for what these rows are like, while all its rows may not be so."""
        return self.refusal is not None and self.rows > 0 and not self.whole


@dataclass(frozen=True)
class TableCheck:
    """What the first rows of the files of one table look like."""

    table: Table
    files: int
    rows: int
    usable: int
    rejected: Mapping[str, int]
    example: Mapping[str, Any]
    """The first of the fullest usable rows of the newest file with rows, as JSON values; empty
    without one."""
    text: str
    """What will be embedded of an item like that; '' for other tables."""
    span: tuple[str, str] | None
    """First and last time of the interactions, in ISO 8601; None where there is none."""
    zero_ratings: int
    """Ratings of 0 where they may mean that none was given."""
    unused: tuple[str, ...]
    """Columns of that file that no role, reject rule or text template names."""
    idle_rules: tuple[str, ...]
    """Reasons of the reject rules that set none of the rows looked at aside."""
    has_times: bool
    """False where the interactions have no timestamps."""
    by_chance: str
    """Why the rows of a user are in no order; '' where times or files tell it."""
    repeats: int
    """Rows that equal an earlier one and are kept, since they have no times."""
    unknown_items: int | None
    """Usable interactions with an item that the catalogue lacks; None where not all of the
    catalogue was looked at."""
    checked: tuple[FileCheck, ...]
    """The newest ones."""
    refusals: tuple[str, ...]
    """Why a run will refuse the table: what each file tells, then what they tell together."""
