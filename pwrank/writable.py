"""Whether a lake may be written, asked before a command begins to change it."""

from __future__ import annotations

import errno
import os

from pwrank.errors import unwritable
from pwrank.store import Store


def check_writable(store: Store) -> None:
    """Raise LakeError unless this user may write the lake, or make it where there is none.

    Asks for rights, writes nothing.
    """
    folders = (store.control, store.lake, *store.lake.absolute().parents)
    nearest = next(folder for folder in folders if folder.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        read_only = os.statvfs(nearest).f_flag & os.ST_RDONLY
        raise unwritable(store.lake, os.strerror(errno.EROFS if read_only else errno.EACCES))
