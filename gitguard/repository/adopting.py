"""What adopting does on disk: what stands in the way, what is mended, the hook that
was there kept, ours put in.

MUST: what is adopted does at the next push what it did before, with the same output; what cannot be kept so
is refused and named. Everything here can be asked without doing it (`--dry-run`), with the same answers.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import stat
import subprocess
import time
from collections.abc import Container
from functools import cache

from msgspec import Struct

from gitguard.config.schema import Settings
from gitguard.machine.errand import errand
from gitguard.machine.files import replace
from gitguard.message.reasons import Refusal, machine_fault, printable
from gitguard.repository.chained_hooks import FOLDER, KEPT, KEPT_FOLDER, LEFT_ALONE, others_fault
from gitguard.repository.directory import borrowed, check
from gitguard.repository.hook_file import hook_fault
from gitguard.repository.refs import refs_of_proc_receive, stored_otherwise
from gitguard.repository.registry import GIT, Found
from gitguard.repository.spelling import name_of

_OTHERS_WRITE = 0o022
_BELIEVED_SECONDS = 10
_OUR_MARK = b"from gitguard.hook.main import main\n"


class Obstacle(Struct, frozen=True):
    """Why a repository cannot be adopted, and what to do about it."""

    why: str
    remedy: str
    lender: str = ""


def obstacle(
    found: Found, settings: Settings, uid: int, known: Container[str], *, mends: bool = True
) -> Obstacle | None:
    """What stands in the way, None if nothing does. `known`: the directories that the store knows, or will.

    `mends`: what adopting closes to others by itself does not stand in its way.
    """
    if not _can_be_named(found):
        return Obstacle("its name has characters that no client can send", "rename the directory")
    if hindrance := _way_obstacle(found, str(settings.host.account), uid, mends=mends):
        return hindrance
    try:
        lenders = borrowed(found.directory)
    except Refusal as refusal:
        return Obstacle(
            refusal.detail, "mend its objects/info/alternates, or run git repack -a -d and remove that file"
        )
    for lender in lenders:
        if lender not in known:
            return Obstacle(
                f"it borrows objects from {lender}, which is not known",
                f"adopt {lender} first, or give it its own objects: git -C {shlex.quote(found.directory)} repack -a -d, "
                f"then rm {shlex.quote(found.directory + '/objects/info/alternates')}",
                lender,
            )
    return _inner_obstacle(found, uid, mends=mends)


@errand
def _way_obstacle(found: Found, account: str, uid: int, *, mends: bool) -> Obstacle | None:
    """Whose it is, and whether Git would open this very directory."""
    owner = os.lstat(found.directory).st_uid
    if owner != uid:
        return Obstacle(
            f"{found.directory} belongs to uid {owner}, not to {account}",
            f"chown -R {account}: {shlex.quote(found.directory)}",
        )
    try:
        check(found.directory, found.root, uid, _mended(found, uid, mends=mends))
    except Refusal as refusal:
        remedy = "gitguard and Git must mean the same directory; see docs/reference.md, Repositories"
        for stray in ("commondir", ".git", "gitdir"):
            if f" has a {stray}: " in refusal.detail:
                place = shlex.quote(f"{found.directory}/{stray}")
                remedy = f"mv {place} {place}.off"
        return Obstacle(refusal.detail, remedy)
    return None


@errand
def _inner_obstacle(found: Found, uid: int, *, mends: bool) -> Obstacle | None:
    """Its configuration, its refs and its hooks."""
    if elsewhere := hooks_elsewhere(found.directory):
        return elsewhere
    if stored_otherwise(found.directory):
        return Obstacle(
            "its refs are stored in another way than as files (extensions.refStorage), so symbolic ones cannot be judged",
            "make a copy that keeps them as files: git clone --mirror --ref-format=files",
        )
    return _hook_obstacle(found.directory, uid, _mended(found, uid, mends=mends))


def _mended(found: Found, uid: int, *, mends: bool) -> tuple[str, ...]:
    return tuple(to_mend(found, uid)) if mends else ()


def _can_be_named(found: Found) -> bool:
    try:
        return name_of(found.name, ((found.root, found.root),))[0] == found.name
    except Refusal:
        return False


@errand
def hooks_elsewhere(directory: str) -> Obstacle | None:
    """core.hooksPath points elsewhere: forcing our own would silence the hooks that run from there."""
    if not _is_named_by(f"{directory}/config") and not _is_named_elsewhere(
        time.monotonic() // _BELIEVED_SECONDS
    ):
        return None  # without a process for each of ten thousand repositories
    done = subprocess.run(
        ["git", "--git-dir", directory, "config", "--show-origin", "--get", "core.hooksPath"],
        capture_output=True, text=True, check=False, env={**GIT, "HOME": os.path.expanduser("~")},
    )  # fmt: skip
    if done.returncode != 0:
        return None
    origin, _, value = done.stdout.strip().partition("\t")
    if os.path.realpath(os.path.join(directory, value)) == os.path.realpath(f"{directory}/hooks"):
        return None
    there = os.path.join(directory, value)
    file = shlex.quote(origin.removeprefix("file:"))
    remedy = f"git config --file {file} --unset-all core.hooksPath"
    try:
        owner = pwd.getpwuid(os.stat(origin.removeprefix("file:")).st_uid).pw_name
        if owner != "root":  # what Git writes again would be root's
            remedy = f"runuser -u {owner} -- {remedy}"
        if any(not name.endswith(".sample") for name in os.listdir(there)):
            remedy = f"move those hooks into {shlex.quote(directory + '/hooks')}, then: {remedy}"
    except (OSError, KeyError):
        pass  # there is nothing that could be moved
    return Obstacle(f"core.hooksPath is {value} (set in {origin}), so its hooks would fall silent", remedy)


def _is_named_by(config: str) -> bool:
    """Whether a configuration may say where hooks lie, by itself or by another file."""
    try:
        with open(config, "rb") as file:
            data = file.read().lower()
    except OSError:
        return True
    return any(word in data for word in (b"hookspath", b"include", b"worktreeconfig"))


@cache
def _is_named_elsewhere(when: float) -> bool:
    """Whether the system's or the account's own configuration says so; asked once in a while (`when`)."""
    del when
    done = subprocess.run(
        ["git", "config", "--get", "core.hooksPath"],
        capture_output=True, check=False, cwd="/", env={**GIT, "HOME": os.path.expanduser("~")},
    )  # fmt: skip
    return done.returncode != 1


@errand
def moved_by_hook(directory: str) -> tuple[str, ...]:
    """The beginnings of refs that the repository's proc-receive hook gets, which may move any ref then."""
    home = os.path.expanduser("~")
    configs = ("/etc/gitconfig", f"{home}/.gitconfig", f"{home}/.config/git/config")
    return refs_of_proc_receive(directory, configs, home)


def _hook_obstacle(directory: str, uid: int, mended: tuple[str, ...]) -> Obstacle | None:
    """Why the pre-receive that is there could not be kept, or one that is chained could not run."""
    path = f"{directory}/hooks/pre-receive"
    if os.path.lexists(path) and not is_ours(path):
        if os.path.lexists(f"{directory}/{KEPT}") and not _same(path, f"{directory}/{KEPT}"):
            return Obstacle(
                f"{path} is not gitguard's, and another pre-receive was kept before in {KEPT}",
                f"put what is still wanted into {KEPT}, and remove {path}",
            )
        if not os.path.exists(path):
            return Obstacle(f"{path} is a link that leads nowhere", f"rm {shlex.quote(path)}")
        entry = os.stat(path)
        if not stat.S_ISREG(entry.st_mode):
            return Obstacle(f"{path} is not a file", f"move it away: {shlex.quote(path)}")
        if os.access(path, os.X_OK):
            if entry.st_uid not in (0, uid):
                return Obstacle(
                    f"{path} belongs to uid {entry.st_uid}, not to root or the Git account",
                    f"chown it: {shlex.quote(path)}",
                )
            if entry.st_mode & _OTHERS_WRITE and os.path.realpath(path) not in mended:
                return Obstacle(
                    f"{path} is writable by others", f"chmod go-w {shlex.quote(os.path.realpath(path))}"
                )
    fault = others_fault(directory, uid)
    if fault and not any(fault.startswith(f"{name} is writable") for name in mended):
        return Obstacle(fault, "root or the Git account must own it, and nobody else may write it")
    return None


def to_mend(found: Found, uid: int) -> list[str]:
    """What others may write although it is the account's: folders on the way, hooks and what is chained."""
    way = []
    current = found.root
    for part in found.directory[len(found.root) + 1 :].split("/"):
        current += "/" + part
        way.append(current)
    hooks = f"{found.directory}/hooks"
    inside = [hooks, f"{found.directory}/{KEPT_FOLDER}", f"{found.directory}/{FOLDER}"]
    for folder in list(inside):
        if os.path.isdir(folder) and not os.path.islink(folder):
            inside += [f"{folder}/{name}" for name in sorted(_listed(folder)) if not name.endswith(".sample")]
    kept = os.path.realpath(f"{hooks}/pre-receive")
    found_paths = []
    for path in dict.fromkeys([*way, *inside, kept]):
        try:
            entry = os.lstat(path)
        except OSError:
            continue
        ours = entry.st_uid == uid and not stat.S_ISLNK(entry.st_mode)
        if ours and entry.st_mode & _OTHERS_WRITE:
            found_paths.append(path)
    return found_paths


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []  # said by others_fault, which asks too


class Step(Struct, frozen=True):
    """One thing that adopting does: as it is announced (`would ...`), and as it is told afterwards."""

    would: str
    did: str


@errand
def plan(found: Found, uid: int, hook: bytes) -> list[Step]:
    """What `prepare` would do; empty if nothing is to do."""
    steps: list[Step] = []
    hooks = f"{found.directory}/hooks"
    mended = to_mend(found, uid)
    if mended:
        more = f" and {len(mended) - 2} more" if len(mended) > 2 else ""
        shown = ", ".join(os.path.relpath(path, found.root) for path in mended[:2])
        steps.append(
            Step(
                f"close to others (chmod go-w) {shown}{more}", f"closed to others (chmod go-w) {shown}{more}"
            )
        )
    path = f"{hooks}/pre-receive"
    live = os.path.lexists(path) and is_ours(path)
    if os.path.lexists(path) and not live:
        runs = (
            "where it still runs"
            if os.access(path, os.X_OK)
            else "where it is not run, since it is not executable"
        )
        steps.append(
            Step(f"move its pre-receive to {KEPT}, {runs}", f"moved its pre-receive to {KEPT}, {runs}")
        )
    if (
        not live
        and _listed(f"{found.directory}/{FOLDER}")
        and not os.path.exists(f"{found.directory}/{LEFT_ALONE}")
    ):
        whose = f"its {FOLDER} to whoever ran it so far (to let gitguard run it: rm {LEFT_ALONE})"
        steps.append(Step(f"leave {whose}", f"left {whose}"))
    if older := _moved_by_older(found.directory):
        steps.append(Step(f"move {older} back to {KEPT}", f"moved {older} back to {KEPT}"))
    if hook_fault(found.directory, hook, uid):
        steps.append(Step("install the hook", "installed the hook"))
    return steps


@errand
def prepare(found: Found, uid: int, hook: bytes) -> list[Step]:
    """Mend modes, keep the pre-receive that is there, make our hook live; what was done.

    Raises Refusal("usage") if something cannot be written, Refusal("hook-not-live") if the hook will not run.
    """
    done = plan(found, uid, hook)
    hooks = f"{found.directory}/hooks"
    path = f"{hooks}/pre-receive"
    try:
        for name in to_mend(found, uid):
            os.chmod(name, stat.S_IMODE(os.lstat(name).st_mode) & ~_OTHERS_WRITE)
        os.makedirs(hooks, mode=0o755, exist_ok=True)
        live = os.path.lexists(path) and is_ours(path)
        if not live and _listed(f"{found.directory}/{FOLDER}"):
            replace(
                f"{found.directory}/{LEFT_ALONE}",
                b"This folder was there before gitguard, which leaves it alone.\n",
                0o644,
            )
        if os.path.lexists(path) and not live:
            os.makedirs(f"{found.directory}/{KEPT_FOLDER}", mode=0o755, exist_ok=True)
            _link_siblings(found.directory)
            os.rename(path, f"{found.directory}/{KEPT}")
        elif older := _moved_by_older(found.directory):
            os.makedirs(f"{found.directory}/{KEPT_FOLDER}", mode=0o755, exist_ok=True)
            _link_siblings(found.directory)
            os.rename(f"{found.directory}/{older}", f"{found.directory}/{KEPT}")
        elif os.path.isdir(f"{found.directory}/{KEPT_FOLDER}"):
            _link_siblings(found.directory)
    except OSError as error:
        raise machine_fault(f"cannot change {error.filename or hooks}", error) from None
    replace(path, hook, 0o755)
    if fault := hook_fault(found.directory, hook, uid) or others_fault(found.directory, uid):
        raise Refusal("hook-not-live", fault, text=fault)
    return done


def _moved_by_older(directory: str) -> str:
    """A pre-receive that gitguard 0.0 moved into pre-receive.d, where a dispatcher would run itself."""
    names = [
        name for name in _listed(f"{directory}/{FOLDER}") if re.fullmatch(r"[1-9][0-9]-pre-receive", name)
    ]
    if len(names) != 1 or os.path.lexists(f"{directory}/{KEPT}"):
        return ""
    return f"{FOLDER}/{names[0]}"


def _link_siblings(directory: str) -> None:
    """What lies beside the kept hook: it may source, call or list its neighbours by `$(dirname "$0")`."""
    for name in {*_listed(f"{directory}/hooks"), "pre-receive.d"}:
        link = f"{directory}/{KEPT_FOLDER}/{name}"
        if name != "pre-receive" and not name.endswith(".sample") and not os.path.lexists(link):
            os.symlink(f"../hooks/{name}", link)


def is_ours(path: str) -> bool:
    """Whether the hook at `path` is gitguard's, of this version or an older one."""
    try:
        with open(path, "rb") as file:
            return not os.path.islink(path) and _OUR_MARK in file.read(65536)
    except OSError:
        return False


def _same(first: str, second: str) -> bool:
    try:
        with open(first, "rb") as one, open(second, "rb") as two:
            return one.read() == two.read()
    except OSError:
        return False


@errand
def left_overs(directory: str) -> list[str]:
    """Files in pre-receive.d that an editor or a package left, and that would run."""
    return [
        printable(name)
        for name in _listed(f"{directory}/{FOLDER}")
        if name.endswith(
            (
                "~",
                ".bak",
                ".orig",
                ".old",
                ".swp",
                ".rej",
                ".tmp",
                ".dpkg-old",
                ".dpkg-new",
                ".dpkg-dist",
                ".rpmsave",
                ".rpmnew",
                ".ucf-old",
            )
        )
        or (name.startswith("#") and name.endswith("#"))
    ]
