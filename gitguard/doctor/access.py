"""Can the account do what it must? One mechanism for every path: it is tried, as the account.

A log that root's rotation made, a folder that a restore gave to root: everything else looks right, and people
are refused, or read unlogged.
"""

from __future__ import annotations

import os
import pwd
import shlex
from collections.abc import Iterator

from gitguard.config.schema import Settings
from gitguard.doctor.finding import Finding, gap, ok
from gitguard.host.connections import LOOK, SWEPT
from gitguard.host.places import Places, authorized_keys
from gitguard.machine.ownership import fault_of
from gitguard.message.reasons import Refusal
from gitguard.session.grant import KEY_BYTES, read_key
from gitguard.store.opening import audit_head
from gitguard.store.rows import Repository

LEAST_FREE_BYTES = 16 * 1024 * 1024
_FOLDERS = (
    "objects",
    "objects/pack",
    "objects/info",
    "refs",
    "refs/heads",
    "refs/tags",
    "hooks",
    "info",
    "logs",
)
_FILES = ("HEAD", "config", "packed-refs", "info/attributes", "info/exclude", "description")


def access_findings(settings: Settings, places: Places) -> Iterator[Finding]:
    """Every file of the installation that the store's account must read, write or replace."""
    state, log = str(settings.paths.state), str(settings.paths.access_log)
    url = settings.store.url
    held = [url.path, f"{url.path}-wal", f"{url.path}-shm"] if url.is_file else []
    writes = [log, audit_head(log), places.compiled, f"{state}/{LOOK}", f"{state}/{SWEPT}"]
    folders = [
        state,
        os.path.dirname(log),
        *(os.path.dirname(path) for path in held[:1]),
        os.path.dirname(places.compiled),
    ]
    reads = [places.config, places.hook, settings.paths.key_ring, settings.paths.grant_key]
    reads += [settings.store.password_file] if settings.store.password_file else []
    yield from _needed(settings.keeper, folders, writes, held, reads)
    yield from _size_findings(settings.paths.grant_key)
    yield from _space_findings(dict.fromkeys(folders))


def git_access_findings(settings: Settings, places: Places) -> Iterator[Finding]:
    """The same of what the Git account must."""
    keys = authorized_keys(settings)
    yield from _needed(
        str(settings.host.account), [os.path.dirname(keys)], [], [], [places.gate, places.hook, keys]
    )
    yield from _space_findings(dict.fromkeys([os.path.dirname(keys), *settings.paths.roots]))


def _needed(
    account: str, folders: list[str], writes: list[str], held: list[str], reads: list[str]
) -> Iterator[Finding]:
    faults = [fault for path in dict.fromkeys(folders) if (fault := folder_fault(path, account))]
    faults += [
        fault for path in writes if os.path.lexists(path) and (fault := file_fault(path, account, os.O_RDWR))
    ]
    faults += [fault for path in held if os.path.lexists(path) and (fault := held_fault(path, account))]
    faults += [
        fault for path in reads if os.path.lexists(path) and (fault := file_fault(path, account, os.O_RDONLY))
    ]
    for what, remedy in faults:
        yield gap("access", what, remedy)
    if not faults:
        yield ok(
            "access",
            f"{account} can write and read the {len(folders) + len(writes) + len(held) + len(reads)} paths that it must",
        )


def folder_fault(path: str, account: str) -> tuple[str, str] | None:
    """(what is wrong, what to do) of a folder in which the account must make and replace files."""
    if not os.path.isdir(path):
        return f"the folder {path} is not there", f"install -d -o {account} -m 700 {shlex.quote(path)}"
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return (
            f"{account} cannot write in {path} ({_owner(path)})",
            f"chown {account}: {shlex.quote(path)} && chmod u+rwx {shlex.quote(path)}",
        )
    return None


def file_fault(path: str, account: str, flags: int) -> tuple[str, str] | None:
    """(what is wrong, what to do) of a file that the account must open with `flags`."""
    try:
        os.close(os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        verb = "write" if flags & os.O_RDWR else "read"
        remedy = f"chown {account}: {shlex.quote(path)} && chmod u+rw {shlex.quote(path)}"
        if error.errno == 1 or _is_immutable(path):
            remedy = f"chattr -i -a {shlex.quote(path)}"
        return f"{account} cannot {verb} {path}: {error.strerror} ({_owner(path)})", remedy
    if flags & os.O_RDWR and _is_immutable(path):
        return f"{path} is marked immutable or append-only", f"chattr -i -a {shlex.quote(path)}"
    return None


def held_fault(path: str, account: str) -> tuple[str, str] | None:
    """The same of the store's file, without opening it: closing it would drop our connection's locks."""
    if os.access(path, os.R_OK | os.W_OK):
        return None
    entry = os.stat(path)
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return f"{path} lies on a read-only file system", "mount it writable"
    if entry.st_uid == os.geteuid() and entry.st_mode & 0o600 == 0o600:
        return f"{path} is marked immutable", f"chattr -i {shlex.quote(path)}"
    return (
        f"{account} cannot write {path} ({_owner(path)})",
        f"chown {account}: {shlex.quote(path)} && chmod u+rw {shlex.quote(path)}",
    )


def _is_immutable(path: str) -> bool:
    """Whether chattr has closed the file: then a rename over it fails although its mode is right."""
    import array
    import fcntl

    flags = array.array("l", [0])
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.ioctl(handle, 0x80086601, flags)  # FS_IOC_GETFLAGS: ioctl_iflags(2)
    except OSError:
        return False
    finally:
        os.close(handle)
    return bool(flags[0] & 0x10)


def _owner(path: str) -> str:
    try:
        entry = os.stat(path)
    except OSError:
        return "not to be looked at"
    try:
        name = pwd.getpwuid(entry.st_uid).pw_name
    except KeyError:
        name = f"uid {entry.st_uid}"
    return f"it is {name}'s, mode {entry.st_mode & 0o7777:04o}"


def _size_findings(path: str) -> Iterator[Finding]:
    """The grant key, whole and private; the key file is read when the store is opened."""
    try:
        read_key(path, os.geteuid())
    except OSError as error:
        yield gap(
            "grant-key",
            f"{path}: {error.strerror}: every push that needs a grant is refused",
            "gitguard admin init",
        )
    except ValueError as error:
        yield gap(
            "grant-key",
            f"{error} (it has {KEY_BYTES} bytes, mode 0600)",
            f"rm {shlex.quote(path)} && gitguard admin init",
        )


def _space_findings(folders: dict[str, None]) -> Iterator[Finding]:
    for path in folders:
        try:
            free = os.statvfs(path)
        except OSError:
            continue  # said above
        space = free.f_bavail * free.f_frsize
        if space < LEAST_FREE_BYTES or (free.f_files and not free.f_favail):
            what = f"{space // 1024} KiB" if space < LEAST_FREE_BYTES else "no inode"
            yield gap(
                "disk-full",
                f"{what} free where {path} lies: changes and what must be logged are refused",
                "make room there",
            )


def repository_access(repositories: list[Repository], account: str) -> Iterator[Finding]:
    """What Git must write in each repository, and what others may write there."""
    uid = os.geteuid()
    for repository in repositories:
        directory = repository.directory
        if not os.path.isdir(directory):
            continue  # said elsewhere
        folders = [f"{directory}/{name}" for name in _FOLDERS if os.path.isdir(f"{directory}/{name}")]
        with_objects = [entry.path for entry in _scan(f"{directory}/objects") if len(entry.name) == 2]
        closed = [
            path for path in (directory, *folders, *with_objects) if not os.access(path, os.W_OK | os.X_OK)
        ]
        if closed:
            yield gap(
                "repository-access",
                f"{repository.name}: {account} cannot write in {closed[0]} ({_owner(closed[0])})"
                + (f" and {len(closed) - 1} more folders" if len(closed) > 1 else ""),
                f"chown -R {account}: {shlex.quote(directory)}",
            )
        refs = [
            entry.path
            for folder in ("refs", "refs/heads", "refs/tags")
            for entry in _scan(f"{directory}/{folder}")
        ]
        hooks = [entry.path for entry in _scan(f"{directory}/hooks") if not entry.name.endswith(".sample")]
        files = [path for name in _FILES if os.path.exists(path := f"{directory}/{name}")]
        open_ = [
            fault
            for path in (*folders, *with_objects, *files, *refs, *hooks)
            if not os.path.islink(path) and (fault := fault_of(os.lstat(path), path, uid))
        ]
        if open_:
            yield gap(
                "repository-open",
                f"{repository.name}: {open_[0]}" + (f", and {len(open_) - 1} more" if len(open_) > 1 else ""),
                f"chown -R {account}: {shlex.quote(directory)} && chmod -R go-w {shlex.quote(directory)}",
            )


def _scan(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def key_file_findings(path: str) -> Iterator[Finding]:
    """Whether the key file can be replaced when a key comes or goes."""
    if os.path.lexists(path) and _is_immutable(path):
        yield gap(
            "access",
            f"{path} is marked immutable: keys can neither come nor go",
            f"chattr -i {shlex.quote(path)}",
        )


def unreadable(refusal: Refusal) -> str:
    """What a refusal says, for a finding."""
    return refusal.detail or refusal.text
