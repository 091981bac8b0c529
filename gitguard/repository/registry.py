"""The registry: which directories are repositories, and how one becomes known, renamed or forgotten.

What the store does not know is refused by the gate, so adopting is the one way in. Each change and its
audit record are one transaction.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

from gitguard.config.schema import Settings
from gitguard.host.files import replace
from gitguard.message.reasons import Refusal, printable
from gitguard.repository.directory import borrowed, check
from gitguard.repository.hook_file import hook_fault
from gitguard.repository.spelling import name_of
from gitguard.store.contract import Reading, Repository, Store

GIT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


@dataclass(frozen=True, slots=True)
class Found:
    """A bare repository on disk: its name, its directory and the root that holds it."""

    name: str
    directory: str
    root: str


def roots(settings: Settings) -> list[str]:
    """The repositories roots, resolved."""
    return [os.path.realpath(root) for root in (settings.paths.repositories, *settings.paths.extra_roots)]


def _spelled_roots(settings: Settings) -> tuple[tuple[str, str], ...]:
    configured = (settings.paths.repositories, *settings.paths.extra_roots)
    return tuple((str(root), os.path.realpath(root)) for root in configured)


def canonical(settings: Settings, spelled: str) -> str:
    """The name that `spelled` means. Raises Refusal("no-such-repository")."""
    try:
        return name_of(spelled, _spelled_roots(settings))[0]
    except Refusal as refusal:
        refusal.text = f"no such repository: {printable(spelled, 100)}"  # no request names it for the reader
        raise


def new_name(settings: Settings, spelled: str) -> str:
    """The name that a new repository would have. Raises Refusal("usage") if it can have none."""
    try:
        return canonical(settings, spelled)
    except Refusal:
        text = f"{printable(spelled, 100)!r} can be no repository's name: parts of a path, none of which is empty, hidden behind .git, or begins with - or ~"
        raise Refusal("usage", text=text) from None


def known(tx: Reading, settings: Settings, spelled: str) -> Repository:
    """The repository that the store knows by `spelled`. Raises Refusal("no-such-repository")."""
    name = canonical(settings, spelled)
    repository = tx.repository(name)
    if repository is None:
        raise Refusal(
            "no-such-repository",
            text=f"no such repository: {name}",
            hint="admins make one known with: gitguard admin repo adopt",
        )
    return repository


def on_disk(settings: Settings) -> list[Found]:
    """Every bare repository below the roots, by name. Links are not followed, repositories not entered."""
    found = []
    for root in roots(settings):
        for folder, names, _ in os.walk(root):
            for name in sorted(names):
                path = os.path.join(folder, name)
                if name == ".git" or os.path.islink(path):
                    names.remove(name)
                elif _looks_bare(path):
                    names.remove(name)
                    found.append(Found(path[len(root) + 1 :].removesuffix(".git"), path, root))
    return sorted(found, key=lambda entry: entry.name)


def _looks_bare(path: str) -> bool:
    return (
        os.path.isfile(f"{path}/HEAD") and os.path.isdir(f"{path}/objects") and os.path.isdir(f"{path}/refs")
    )


def locate(settings: Settings, name: str) -> Found:
    """The directory on disk that `name` (or a path) means. Raises Refusal("no-such-repository" or "usage")."""
    plain, below = name_of(name, _spelled_roots(settings))
    places = [
        Found(plain, directory, root)
        for root in roots(settings)
        if below in ("", root)
        for directory in (f"{root}/{plain}.git", f"{root}/{plain}")
        if os.path.lexists(directory) and (directory.endswith(".git") or _looks_bare(directory))
    ]
    if not places:
        raise Refusal(
            "no-such-repository", text=f"no directory {plain}.git below {', '.join(roots(settings))}"
        )
    if len(places) > 1:
        raise Refusal(
            "usage", text=f"{plain} is there twice: {places[0].directory} and {places[1].directory}"
        )
    return places[0]


def obstacle(found: Found, settings: Settings, uid: int) -> tuple[str, str]:
    """(why `found` cannot be adopted, what to do about it); two empty texts if nothing stands in the way."""
    try:
        check(found.directory, found.root)
        borrowed(found.directory)
    except Refusal as refusal:
        return (
            refusal.detail,
            "gitguard and Git must mean the same directory; see docs/reference.md, Repositories",
        )
    owner = os.stat(found.directory).st_uid
    if owner != uid:
        return (
            f"{found.directory} belongs to uid {owner}, not to {settings.host.account}",
            f"chown -R {settings.host.account}: {found.directory}",
        )
    return hooks_elsewhere(found.directory)


def hooks_elsewhere(directory: str) -> tuple[str, str]:
    """Whether core.hooksPath points elsewhere: forcing our own would silence the hooks that run from there."""
    done = subprocess.run(
        ["git", "--git-dir", directory, "config", "--show-origin", "--get", "core.hooksPath"],
        capture_output=True, text=True, check=False, env={**GIT, "HOME": os.path.expanduser("~")},
    )  # fmt: skip
    if done.returncode != 0:
        return "", ""
    origin, _, value = done.stdout.strip().partition("\t")
    if os.path.realpath(os.path.join(directory, value)) == os.path.realpath(f"{directory}/hooks"):
        return "", ""
    return (
        f"core.hooksPath is {value} (set in {origin}), so its hooks would fall silent",
        f"move those hooks into {directory}/hooks/pre-receive.d/ and unset core.hooksPath there",
    )


def install_hook(directory: str, hook: bytes) -> list[str]:
    """Make our hook live in `directory`; another pre-receive moves to pre-receive.d. What was done, in words."""
    done = []
    hooks = f"{directory}/hooks"
    path = f"{hooks}/pre-receive"
    os.makedirs(hooks, mode=0o755, exist_ok=True)
    for folder in (hooks, f"{hooks}/pre-receive.d"):
        if os.path.isdir(folder):
            os.chmod(folder, os.stat(folder).st_mode & ~0o022)
    if os.path.lexists(path) and not _is_ours(path):
        os.makedirs(f"{hooks}/pre-receive.d", mode=0o755, exist_ok=True)
        target = f"{hooks}/pre-receive.d/{_free_name(hooks)}"
        os.rename(path, target)
        done.append(f"moved its pre-receive to {os.path.relpath(target, directory)}, where it still runs")
    if replace(path, hook, 0o755):
        done.append("installed the hook")
    return done


def _is_ours(path: str) -> bool:
    """Whether the hook at `path` is gitguard's, of this version or an older one."""
    try:
        with open(path, "rb") as file:
            return not os.path.islink(path) and b"from gitguard.hook.main import main\n" in file.read(65536)
    except OSError:
        return False


def _free_name(hooks: str) -> str:
    for number in range(10, 100):
        name = f"{number}-pre-receive"
        if not os.path.lexists(f"{hooks}/pre-receive.d/{name}"):
            return name
    raise Refusal("usage", text=f"{hooks}/pre-receive.d is full")


def adopt(
    store: Store,
    settings: Settings,
    found: Found,
    hook: bytes,
    uid: int,
    at: int,
    actor: str,
    *,
    new: bool = False,
) -> list[str]:
    """Make `found` known and its hook live; what was done, in words (empty: nothing was to do).

    `new`: it was made just now, so it can be no directory that was moved by hand.

    Raises Refusal("usage") if something stands in the way or the name is another directory's.
    """
    why, remedy = obstacle(found, settings, uid)
    if why:
        raise Refusal("usage", text=f"{found.name}: {why}", hint=remedy)
    with store.reading() as tx:
        there = tx.repository(found.name)
        at_directory = tx.repository_at(found.directory)
    if there is not None and there.directory != found.directory:
        raise Refusal("usage", text=f"the name {found.name} is taken by {there.directory}")
    if at_directory is not None and at_directory.name != found.name:
        raise Refusal(
            "usage",
            text=f"{found.directory} is known as {at_directory.name}; use: gitguard admin repo rename",
        )
    if there is None and not new:
        _check_not_moved(store, found)
    done = install_hook(found.directory, hook)
    if fault := hook_fault(found.directory, hook, uid):
        raise Refusal("hook-not-live", fault, text=fault)
    if there is None:
        with store.writing() as tx:
            tx.add_repository(Repository(found.name, found.directory, "none", None, at))
            tx.record("repository-adopted", at, actor, repository=found.name, directory=found.directory)
        done.insert(0, "adopted, requires none")
    elif done:
        with store.writing() as tx:
            tx.record("hook-installed", at, actor, repository=found.name)
    return done


def _check_not_moved(store: Store, found: Found) -> None:
    """A directory moved by hand must not come back without what its admins demanded of it."""
    with store.reading() as tx:
        lost = [
            r
            for r in tx.repositories()
            if not os.path.lexists(r.directory)
            and (r.require != "none" or r.lifetime_seconds is not None or tx.repository_admins(r.name))
        ]
    if lost:
        names = ", ".join(repository.name for repository in lost[:3])
        raise Refusal(
            "usage",
            text=f"{found.name}: not adopted while repositories with a switch or admins are missing on disk: {names}",
            hint=f"if this is one of them, say: gitguard admin repo rename {lost[0].name} {found.name}; "
            "if they are gone for good: gitguard admin repo forget NAME",
        )


def create(settings: Settings, name: str) -> Found:
    """Make a new bare repository on disk. Raises Refusal("usage") if the place is taken."""
    plain = new_name(settings, name)
    root = roots(settings)[0]
    directory = f"{root}/{plain}.git"
    for taken in (directory, f"{root}/{plain}/HEAD"):
        if os.path.lexists(taken):
            raise Refusal(
                "usage",
                text=f"{taken} is there already",
                hint=f"make it known with: gitguard admin repo adopt {plain}",
            )
    try:
        os.makedirs(os.path.dirname(directory), mode=0o755, exist_ok=True)
    except OSError as error:
        raise Refusal("usage", text=f"cannot make {directory}: {error.strerror}") from None
    done = subprocess.run(
        ["git", "init", "--quiet", "--bare", "--template=", "--initial-branch=main", directory],
        capture_output=True, text=True, check=False, env={**GIT, "HOME": os.path.expanduser("~")},
    )  # fmt: skip
    if done.returncode != 0:
        shutil.rmtree(directory, ignore_errors=True)
        raise Refusal("usage", text=f"git init failed: {done.stderr.strip()}")
    return Found(plain, directory, root)
