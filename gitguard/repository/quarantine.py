"""What Git keeps apart while a push is judged: its quarantine. Plain dialect: the hook loads this file."""

import posix

from gitguard.machine.errand import errand


@errand
def oldest_in(quarantine: str) -> int:
    """When the oldest thing in it was written (Unix seconds). Raises OSError.

    receive-pack makes the quarantine when it has read what is to change, and index-pack writes below it from
    then on; no client can set a time there. Source: git's builtin/receive-pack.c unpack, tmp-objdir.c.
    """
    began = posix.stat(quarantine).st_mtime
    for entry in posix.scandir(quarantine):
        began = min(began, entry.stat(follow_symlinks=False).st_mtime)
        if entry.is_dir(follow_symlinks=False):
            for inside in posix.scandir(entry.path):
                began = min(began, inside.stat(follow_symlinks=False).st_mtime)
    return int(began)
