"""What is said once a day to each person it concerns, and not at every push. Plain dialect:
gate and hook load this file.
"""

import posix

AGAIN_SECONDS = 86400
FOLDER = "announced"  # below the state folder: a file for each user and thing, as old as the last word


def is_news(state: str, name: str, at: int) -> bool:
    """Whether `name` (of a file) was not said within a day before `at`; notes that it is said now. What
    cannot be noted is not said at each push.
    """
    folder = f"{state}/{FOLDER}"
    try:
        if posix.stat(f"{folder}/{name}").st_mtime > at - AGAIN_SECONDS:
            return False
    except OSError:
        pass
    try:
        if not _is_there(folder):
            posix.mkdir(folder, 0o700)
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_NOFOLLOW | posix.O_CLOEXEC
        handle = posix.open(f"{folder}/{name}", flags, 0o600)
        try:
            posix.utime(handle, (at, at))
        finally:
            posix.close(handle)
    except OSError:
        return False
    return True


def _is_there(path: str) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True
