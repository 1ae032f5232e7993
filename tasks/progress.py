"""Progress bars with rate and remaining time; silent where nobody looks at a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tqdm import tqdm

from pwrank.store import Progress


@contextlib.contextmanager
def progress_bar(stage: str, unit: str, total: int | None = None) -> Iterator[Progress]:
    """A bar for one stage; the block is given a function that takes the units just done."""
    with tqdm(total=total, desc=stage, unit=f" {unit}", disable=None, leave=False) as bar:

        def advance(units: int) -> None:
            bar.update(units)

        yield advance
