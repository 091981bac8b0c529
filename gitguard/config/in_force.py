"""Which form of the configuration is in force: the file as it stands, or the last good
one while the file is in doubt.

A prefix of a file is a file, and most defaults are the open ones: whoever saves empties the file first, a
full disk cuts it, an editor dies in the middle. So a file with a fault closes, and one without is believed

- if it requires no less than the last good form (config/strictness.py), at once;
- if someone vouched for these very bytes (`init`, `config check`, `config edit`), at once;
- else once nobody has written it for `SETTLED_SECONDS`, unless it looks cut off; until then
  the last good form continues.

What ends where a page ends, and what cannot be noted as the last good form while it is new
or looks cut off, closes too.

What the other side may do in between: write on, a byte at a time, replace the file, or stop for good. The
last good form and the vouch lie beside the compiled form, each replaced in one step, and count only if they
are ours by owner and mode. A vouch is for the next change alone: of bytes that were good once, a later file
may be longer by what matters.
"""

from __future__ import annotations

import os
import stat
import time

from msgspec import Struct

from gitguard.config.faults import LONGEST_FILE, ConfigurationError, Fault
from gitguard.config.parse import parse
from gitguard.config.schema import Settings
from gitguard.config.strictness import demands_less
from gitguard.machine.files import put_quietly
from gitguard.machine.git_account import is_account
from gitguard.machine.ownership import fault_of, identity

SETTLED_SECONDS = 2
VOUCHED_SECONDS = 3600  # from `config check` to the file's being put in place
_TRIES = 3
_BLOCK_BYTES = 512  # a full disk cuts a file where a block ends, and a buffer is written whole
# by which nearly every file system and buffer goes: what ends there is looked at whatever it requires
_PAGE_BYTES = 4096


class InForce(Struct, frozen=True):
    """`entry` describes the file that `settings` are of; None where they are not to be kept. `doubt`: why
    they are the last good form.
    """

    settings: Settings
    data: bytes
    entry: os.stat_result | None
    doubt: str = ""


def in_force(path: str, compiled: str, at: float | None = None) -> InForce:
    """What counts of the configuration at `path`, whose compiled form is `compiled`,
    at Unix time `at` (None: now).

    Raises ConfigurationError for a file that cannot be read, has a fault, or looks cut off.
    """
    entry, data = read(path)
    settings = parse(data, path)
    good = _good(compiled)
    if good == data:
        return InForce(settings, data, entry)
    before = _parsed(good, path)
    less = demands_less(settings, before) if before is not None else ""
    vouched, young, cut = is_vouched(compiled, data, at), _is_young(entry, at), _cut(data)
    if before is not None and good is not None and not vouched:
        if less and young:
            doubt = f"it was changed less than {SETTLED_SECONDS} seconds ago and requires less in {less}"
            return InForce(before, good, None, doubt)
        if cut and (less or len(data) % _PAGE_BYTES == 0):
            what = f"it requires less than before in {less}, and looks" if less else "it looks"
            raise _closed(path, f"{what} cut off: {cut}; if it is whole: gitguard admin config check")
    if not is_account(settings.keeper):
        return InForce(settings, data, entry)
    if young and cut and not vouched:
        # Perhaps the beginning of a file being saved: it counts for now, as it requires no
        # less, and is not kept.
        return InForce(settings, data, None)
    if _put(compiled, "good", data):
        if vouched or not young:
            _forget_vouch(compiled)
    elif before is not None and not vouched and (young or cut):
        # On a full disk the next file is cut, and would be compared with one that was in force long ago.
        raise _closed(path, "it is new, and the form that counts cannot be noted; is the disk full?")
    return InForce(settings, data, entry)


def _closed(path: str, what: str) -> ConfigurationError:
    return ConfigurationError(path, [Fault(0, "file", what)])


def less_than_before(compiled: str, data: bytes, path: str) -> str:
    """In which setting `data` requires less than the last good form, and whether it looks
    cut off, in words; "" for none.
    """
    before = _parsed(_good(compiled), path)
    less = demands_less(parse(data, path), before) if before is not None else ""
    if not less:
        return ""
    return f"it requires less than what was in force before, in {less}" + (
        f", and looks cut off: {cut}" if (cut := _cut(data)) else ""
    )


def settings_in_force(path: str, compiled: str) -> Settings:
    """The settings that count. Raises ConfigurationError."""
    return in_force(path, compiled).settings


def read(path: str) -> tuple[os.stat_result, bytes]:
    """The file and what tells its version. Raises ConfigurationError."""
    try:
        for _ in range(_TRIES):
            with open(path, "rb") as file:
                before = os.fstat(file.fileno())
                data = file.read(LONGEST_FILE + 1)
                after = os.fstat(file.fileno())
            if identity(before) == identity(after):
                break  # nobody wrote while we read
    except OSError as error:
        raise ConfigurationError(path, [Fault(0, "file", error.strerror or str(error))]) from None
    return after, data


def vouch(compiled: str, data: bytes) -> bool:
    """Someone who looked says that `data` is whole: it counts as soon as it is in
    place. Whether it was noted.
    """
    return _put(compiled, "vouched", _name_of(data))


def is_vouched(compiled: str, data: bytes, at: float | None = None) -> bool:
    """Whether someone vouched for `data` a short while ago."""
    found = _own_file(_beside(compiled, "vouched"))
    if found is None:
        return False
    entry, text = found
    now = time.time() if at is None else at
    return text == _name_of(data) and -1 <= now - entry.st_mtime < VOUCHED_SECONDS


def _name_of(data: bytes) -> bytes:
    from hashlib import sha256

    return sha256(data).hexdigest().encode()


def last_good(path: str, compiled: str, uid: int) -> Settings | None:
    """The last good form that the account `uid` keeps, None where there is none."""
    found = _own_file(_beside(compiled, "good"), uid)
    return _parsed(found[1] if found is not None else None, path)


def good_form(compiled: str) -> str:
    """Where the last good form lies, if there is one."""
    return _beside(compiled, "good")


def _is_young(entry: os.stat_result, at: float | None) -> bool:
    """By the time of the last change of anything about the file, which nobody can set; a clock that was
    set back is no proof of age.
    """
    return (time.time() if at is None else at) - entry.st_ctime < SETTLED_SECONDS


def _cut(data: bytes) -> str:
    if not data.endswith(b"\n"):
        return "its last line has no end"
    return f"it is a whole number of blocks long, {len(data)} bytes" if len(data) % _BLOCK_BYTES == 0 else ""


def _parsed(good: bytes | None, path: str) -> Settings | None:
    try:
        return parse(good, path) if good is not None else None
    except ConfigurationError:
        return None  # of another version: it says nothing to this one


def _good(compiled: str) -> bytes | None:
    found = _own_file(_beside(compiled, "good"))
    return found[1] if found is not None else None


def _beside(compiled: str, what: str) -> str:
    return f"{os.path.splitext(compiled)[0]}.{what}"


def _own_file(path: str, uid: int | None = None) -> tuple[os.stat_result, bytes] | None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            entry = os.fstat(handle)
            if not stat.S_ISREG(entry.st_mode) or fault_of(entry, path, os.geteuid() if uid is None else uid):
                return None
            return entry, file.read(LONGEST_FILE + 1)
    except OSError:
        return None


def _put(compiled: str, what: str, data: bytes) -> bool:
    return put_quietly(_beside(compiled, what), data)


def _forget_vouch(compiled: str) -> None:
    try:
        os.unlink(_beside(compiled, "vouched"))
    except OSError:
        return  # there was none
