"""The registry: which directories below the roots are repositories, and by which names they are known.

What the store does not know is refused by the gate; adopting (adopting.py) is the one way in.
"""

from __future__ import annotations

import os
import shlex

from msgspec import Struct

from gitguard.config.schema import Settings
from gitguard.machine.environment import PATH
from gitguard.machine.errand import errand
from gitguard.machine.whereabouts import resolved
from gitguard.message.reasons import Refusal, machine_fault, printable
from gitguard.repository.spelling import name_of
from gitguard.store.contract import Reading
from gitguard.store.rows import Repository

GIT = {"PATH": PATH, "LANG": "C.UTF-8"}


class Found(Struct, frozen=True):
    """A bare repository on disk: its name, its directory and the root that holds it."""

    name: str
    directory: str
    root: str


def roots(settings: Settings) -> list[str]:
    """The repositories roots, resolved."""
    return [resolved for _, resolved in spelled_roots(settings)]


def spelled_roots(settings: Settings) -> tuple[tuple[str, str], ...]:
    """The repositories roots, each as configured and resolved."""
    return tuple(zip(settings.paths.roots, resolved(settings.paths.roots), strict=True))


def root_of(settings: Settings, directory: str) -> str:
    """The root that holds `directory`, resolved; "" for none."""
    return next((root for root in roots(settings) if directory.startswith(f"{root}/")), "")


class Lending(Struct, frozen=True):
    """Whose objects a repository uses (`borrows`), and who uses its own (`lends`), by name."""

    borrows: dict[str, list[Repository]]
    lends: dict[str, list[Repository]]


def lending(tx: Reading, repositories: list[Repository]) -> Lending:
    """Who lends to whom among `repositories`, which are all that the store knows."""
    by_name = {repository.name: repository for repository in repositories}
    by_directory = {repository.directory: repository for repository in repositories}
    found = Lending({}, {})
    for borrower, directory in tx.borrowings():
        lender = by_directory.get(directory)
        if lender is not None and borrower in by_name:
            found.borrows.setdefault(borrower, []).append(lender)
            found.lends.setdefault(lender.name, []).append(by_name[borrower])
    return found


def canonical(settings: Settings, spelled: str) -> str:
    """The name that `spelled` means. Raises Refusal("no-such-repository")."""
    try:
        return name_of(spelled, spelled_roots(settings))[0]
    except Refusal as refusal:
        # No request names it for the reader.
        raise refusal.but(text=f"no such repository: {printable(spelled, 100)}") from None


def new_name(settings: Settings, spelled: str) -> str:
    """The name that a new repository would have. Raises Refusal("usage") if it can have none."""
    try:
        return canonical(settings, spelled)
    except Refusal:
        text = f"{printable(spelled, 100)!r} cannot be a repository's name: parts of a path, none of which is empty, hidden behind .git, or begins with - or ~"
        raise Refusal("usage", text=text) from None


def known(tx: Reading, settings: Settings, spelled: str) -> Repository:
    """The repository that the store knows by `spelled`. Raises Refusal("no-such-repository")."""
    name = canonical(settings, spelled)
    repository = tx.repository(name)
    if repository is None:
        raise Refusal(
            "no-such-repository",
            text=f"no such repository: {name}",
            hint=f"the server's admin makes one known with: gitguard admin repo adopt {shlex.quote(name)}",
        )
    return repository


def on_disk(settings: Settings) -> list[Found]:
    """Every bare repository below the roots, by name. Links are not followed, repositories not entered."""
    return below(roots(settings))


@errand
def below(roots: list[str]) -> list[Found]:
    """The same for `roots`, resolved."""
    found = []
    for root in roots:
        for folder, names, _ in os.walk(root):
            for name in sorted(names):
                path = os.path.join(folder, name)
                if name == ".git" or os.path.islink(path):
                    names.remove(name)
                elif _looks_bare(path):
                    names.remove(name)
                    found.append(Found(path[len(root) + 1 :].removesuffix(".git"), path, root))
    return sorted(found, key=lambda entry: entry.name)


def passed_over(settings: Settings) -> list[tuple[str, str]]:
    """(path, why) of what lies below the roots, looks like a repository, and can be none of ours."""
    return passed_over_below(roots(settings))


@errand
def passed_over_below(roots: list[str]) -> list[tuple[str, str]]:
    """The same for `roots`, resolved."""
    found = []
    for root in roots:
        for folder, names, _ in os.walk(root):
            for name in sorted(names):
                path = os.path.join(folder, name)
                if os.path.islink(path):
                    if _looks_bare(path) or _looks_bare(f"{path}/.git"):
                        found.append((path, f"a link to {os.path.realpath(path)}"))
                elif name == ".git" or os.path.isfile(f"{path}/.git"):
                    names.remove(name)
                    found.append((folder if name == ".git" else path, "a work tree, not a bare repository"))
                elif _looks_bare(path):
                    names.remove(name)
    return found


@errand
def move(directory: str, target: str) -> None:
    """Move a repository's directory, and make the folders above its new place. Raises Refusal."""
    try:
        os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
        os.rename(directory, target)
    except OSError as error:
        raise machine_fault(f"cannot move it to {target}", error) from None


def _looks_bare(path: str) -> bool:
    return (
        os.path.isfile(f"{path}/HEAD") and os.path.isdir(f"{path}/objects") and os.path.isdir(f"{path}/refs")
    )


def locate(settings: Settings, name: str) -> Found:
    """The directory that `name` (or a path) means. Raises Refusal("no-such-repository" or "usage")."""
    try:
        plain, inside = name_of(name, spelled_roots(settings))
    except Refusal:
        raise Refusal("usage", text=f"{printable(name, 100)!r} cannot be a repository's name") from None
    if name.startswith("/") and not inside:
        raise Refusal(
            "no-such-repository",
            text=f"{printable(name, 200)} is below no root: {', '.join(roots(settings))}",
        )
    places = _places(plain, [root for root in roots(settings) if inside in ("", root)])
    if not places:
        raise Refusal(
            "no-such-repository", text=f"no directory {plain}.git below {', '.join(roots(settings))}"
        )
    if len(places) > 1:
        raise Refusal(
            "usage", text=f"{plain} is there twice: {places[0].directory} and {places[1].directory}"
        )
    return places[0]


@errand
def _places(plain: str, roots: list[str]) -> list[Found]:
    """Where below `roots` a repository of that name lies."""
    return [
        Found(plain, directory, root)
        for root in roots
        for directory in (f"{root}/{plain}.git", f"{root}/{plain}")
        if os.path.lexists(directory) and (directory.endswith(".git") or _looks_bare(directory))
    ]


def create(settings: Settings, name: str) -> Found:
    """Make a new bare repository on disk. Raises Refusal("usage") if the place is taken."""
    return _created(new_name(settings, name), roots(settings)[0])


@errand
def _created(plain: str, root: str) -> Found:
    directory = f"{root}/{plain}.git"
    for taken in (directory, f"{root}/{plain}/HEAD"):
        if os.path.lexists(taken):
            raise Refusal(
                "usage",
                text=f"{taken} is there already",
                hint=f"make it known with: gitguard admin repo adopt {shlex.quote(plain)}",
            )
    import shutil
    import subprocess

    try:
        os.makedirs(os.path.dirname(directory), mode=0o755, exist_ok=True)
    except OSError as error:
        raise machine_fault(f"cannot make {directory}", error) from None
    done = subprocess.run(
        ["git", "init", "--quiet", "--bare", "--template=", "--initial-branch=main", directory],
        capture_output=True, text=True, check=False, env={**GIT, "HOME": os.path.expanduser("~")},
    )  # fmt: skip
    if done.returncode != 0:
        shutil.rmtree(directory, ignore_errors=True)
        raise Refusal("usage", text=f"git init failed: {done.stderr.strip()}")
    return Found(plain, directory, root)
