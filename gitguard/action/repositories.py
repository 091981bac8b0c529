"""What the server's admin does to repositories: adopt, create, rename, forget, renew hooks."""

from __future__ import annotations

import shlex

from msgspec import Struct

from gitguard.action import steps
from gitguard.action.effects import Effects, take_effect
from gitguard.action.installation import Installation
from gitguard.machine.git_account import uid_of
from gitguard.machine.whereabouts import folders, there
from gitguard.message.reasons import Refusal, machine_fault
from gitguard.repository import adopting, registry, toggle
from gitguard.repository.adopting import Obstacle
from gitguard.repository.chained_hooks import others_fault
from gitguard.repository.directory import borrowed
from gitguard.repository.hook_file import hook_fault
from gitguard.repository.registry import Found
from gitguard.session.moment import Moment
from gitguard.store.contract import Reading
from gitguard.store.rows import Repository


class Adopted(Struct, frozen=True):
    """What adopting did, or (dry) would do; empty where all was in order.
    `obstacle`: why it was not adopted.
    """

    found: Found
    steps: list[str]
    obstacle: Obstacle | None = None

    def check(self) -> None:
        """Raises Refusal("usage") that names the obstacle, if there is one."""
        if self.obstacle is not None:
            raise Refusal("usage", text=f"{self.found.name}: {self.obstacle.why}", hint=self.obstacle.remedy)


class Created(Struct, frozen=True):
    """A repository that is there now; `was_there`: it was before; `was_elsewhere`: on other servers alone."""

    name: str
    directory: str
    was_there: bool
    was_elsewhere: bool = False


def create(
    installation: Installation,
    name: str,
    admins: tuple[str, ...],
    moment: Moment,
    actor: str,
    *,
    if_missing: bool = False,
) -> Created:
    """A new bare repository with the hook in place, and its admins; `if_missing`: one that
    is there only gets the admins.

    Raises Refusal; then an admin that is not there has left nothing behind.
    """
    with installation.store.reading() as tx:
        plain = registry.new_name(installation.settings, name)
        there = tx.repository(plain)
        is_elsewhere = there is not None and _is_elsewhere(installation, there)
        if there is not None and not if_missing and not is_elsewhere:
            raise Refusal("usage", text=f"the repository {plain} is there already")
        for admin in admins:
            steps.check_present(tx, admin)
    if there is None or is_elsewhere:
        found = registry.create(installation.settings, name)
        adopt(installation, found, live_hook(installation), moment, actor, NOTHING_LOST).check()
    with installation.store.writing() as tx:
        for admin in admins:
            toggle.change_admin(tx, installation.settings, plain, "add", admin, moment.at, actor)
    directory = there.directory if there is not None else found.directory
    return Created(plain, directory, there is not None, is_elsewhere)


def _is_elsewhere(installation: Installation, known: Repository) -> bool:
    """Whether another server of this store has it, and this one would at the same place."""
    return not installation.settings.store.url.is_file and not there([known.directory])


class Listed(Struct, frozen=True):
    """A known repository, and what its next push would meet: no live hook, or another hook
    that cannot run; "" for none. `is_elsewhere`: another server of this store has it, and not this one.
    """

    row: Repository
    hook_fault: str
    others_fault: str
    is_elsewhere: bool = False


class Listing(Struct, frozen=True):
    """Every known repository, unknown ones on disk, and the directories that an admin took out."""

    known: list[Listed]
    strangers: list[Found]
    forgotten: set[str]


def listing(installation: Installation, containing: str = "") -> Listing:
    """The repositories whose name holds `holding`. Raises Refusal."""
    hook, uid = live_hook(installation), uid_of(installation.settings.host.account)
    with installation.store.reading() as tx:
        rows, forgotten = tx.repositories(), set(tx.forgotten())
    directories = {row.directory for row in rows}
    is_file = installation.settings.store.url.is_file
    here = set() if is_file else set(there([row.directory for row in rows]))
    return Listing(
        [
            Listed(row, "", "", is_elsewhere=True)
            if not is_file and row.directory not in here
            else Listed(row, hook_fault(row.directory, hook, uid), others_fault(row.directory, uid))
            for row in rows
            if containing in row.name
        ],
        [
            found
            for found in registry.on_disk(installation.settings)
            if found.directory not in directories and containing in found.name
        ],
        forgotten,
    )


def live_hook(installation: Installation) -> bytes:
    """The bytes that every live hook has. Raises Refusal("usage") if the launcher is not there."""
    return live_hook_at(installation.places.hook)


def live_hook_at(path: str) -> bytes:
    """The same, by the path of the hook's launcher."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise machine_fault(f"cannot read {path}", error).but(
            hint="renew it with: gitguard admin init"
        ) from None


def in_order(places: list[Found]) -> list[Found]:
    """`places` so that whoever lends comes before whoever borrows, in one pass."""
    by_directory = {found.directory: found for found in places}
    ordered: dict[str, Found] = {}

    def add(found: Found, above: tuple[str, ...] = ()) -> None:
        if found.directory in ordered or found.directory in above:
            return
        try:
            lenders = borrowed(found.directory)
        except Refusal:
            lenders = []  # said when its turn comes
        for lender in lenders:
            if lender in by_directory:
                add(by_directory[lender], (*above, found.directory))
        ordered[found.directory] = found

    for found in places:
        add(found)
    return list(ordered.values())


class Lost(Struct, frozen=True):
    """Known repositories with a requirement that are missing on disk: looked for once in a run."""

    names: tuple[str, ...]


def lost(installation: Installation) -> Lost:
    """Those that are missing now; on a store that several servers share, where each has its own, none.
    Raises Refusal.
    """
    if not installation.settings.store.url.is_file:
        return NOTHING_LOST
    with installation.store.reading() as tx:
        demanding = tx.demanding_repositories()
    found = set(there([row.directory for row in demanding]))
    return Lost(tuple(row.name for row in demanding if row.directory not in found))


NOTHING_LOST = Lost(())  # what was made just now can be no directory that was moved by hand


class _KnownDirectories:
    """The directories that the store knows, or will after this pass (`also`); each looked up when needed."""

    def __init__(self, tx: Reading, also: set[str]) -> None:
        self._tx, self._also = tx, also

    def __contains__(self, directory: object) -> bool:
        return directory in self._also or self._tx.repository_at(str(directory)) is not None


def adopt(
    installation: Installation,
    found: Found,
    hook: bytes,
    moment: Moment,
    actor: str,
    missing: Lost | None = None,
) -> Adopted:
    """Make `found` known and its hook live.

    `missing`: what `lost` said, where many are adopted. Raises Refusal where a file or
    the store cannot be written.
    """
    uid = uid_of(installation.settings.host.account)
    missing = lost(installation) if missing is None else missing
    with installation.store.reading() as tx:
        hindrance = _hindrance(tx, installation, found, uid, set(), missing)
        there = tx.repository(found.name)
    if hindrance is not None:
        return Adopted(found, [], hindrance)
    steps = [step.did for step in adopting.prepare(found, uid, hook)]
    lenders = borrowed(found.directory)
    with installation.store.writing() as tx:
        if there is None:
            tx.add_repository(Repository(found.name, found.directory, "none", None, moment.at))
            tx.record(
                "repository-adopted", moment.at, actor, repository=found.name, directory=found.directory
            )
        elif steps:
            tx.record("hook-installed", moment.at, actor, repository=found.name)
        tx.clear_forgotten(found.directory)
        if tx.set_borrowings(found.name, lenders):
            tx.record("borrowing-noted", moment.at, actor, repository=found.name, lenders=lenders)
    if there is None:
        steps.insert(0, "adopted, requires none")
    if lenders:
        steps.append(f"borrows objects from {', '.join(lenders)}")
    steps += _noted(found)
    return Adopted(found, steps)


def would_adopt(
    installation: Installation, found: Found, hook: bytes, also: set[str], missing: Lost | None = None
) -> Adopted:
    """What `adopt` would do or refuse; `also`: directories that the same pass would have adopted before."""
    uid = uid_of(installation.settings.host.account)
    missing = lost(installation) if missing is None else missing
    with installation.store.reading() as tx:
        hindrance = _hindrance(tx, installation, found, uid, also, missing)
        known = tx.repository(found.name) is not None
    if hindrance is not None:
        return Adopted(found, [], hindrance)
    steps = [f"would {step.would}" for step in adopting.plan(found, uid, hook)]
    steps += _noted(found)
    return Adopted(found, steps if known else ["would be adopted", *steps])


def _noted(found: Found) -> list[str]:
    """What anyone who writes rules should know of it."""
    taken = ", ".join(adopting.moved_by_hook(found.directory))
    return [f"its hook proc-receive takes {taken}, which every rule for refs is asked about"] if taken else []


def _hindrance(
    tx: Reading, installation: Installation, found: Found, uid: int, also: set[str], missing: Lost
) -> Obstacle | None:
    if hindrance := adopting.obstacle(found, installation.settings, uid, _KnownDirectories(tx, also)):
        return hindrance
    there, at_directory = tx.repository(found.name), tx.repository_at(found.directory)
    if there is not None and there.directory != found.directory:
        return Obstacle(
            f"the name {found.name} is taken by {there.directory}",
            f"rename one of them: gitguard admin repo rename {shlex.quote(found.name)} NEW",
        )
    if at_directory is not None and at_directory.name != found.name:
        return Obstacle(
            f"{found.directory} is known as {at_directory.name}",
            f"gitguard admin repo rename {shlex.quote(at_directory.name)} {shlex.quote(found.name)}",
        )
    return None if there is not None else _moved(found, missing)


def _moved(found: Found, missing: Lost) -> Obstacle | None:
    """A directory moved by hand must not come back without what its admins required of it."""
    if not missing.names:
        return None
    first, names = shlex.quote(missing.names[0]), ", ".join(missing.names[:3])
    return Obstacle(
        f"repositories with a switch or admins are missing on disk, and this may be one of them: {names}",
        f"if this is one of them, say: gitguard admin repo rename {first} {shlex.quote(found.name)}; "
        f"if it is gone for good: gitguard admin repo forget {first}",
    )


def rename(
    installation: Installation, old: str, new: str, moment: Moment, actor: str
) -> tuple[str, str, Effects]:
    """Rename a repository on disk and in the store; (the name it had, its directory now, what followed).

    It may stand at the new place already, moved by hand: then only the store follows. Raises Refusal.
    """
    plain = registry.new_name(installation.settings, new)
    with installation.store.reading() as tx:
        before = registry.known(tx, installation.settings, old)
        if tx.repository(plain) is not None:
            raise Refusal("usage", text=f"the repository {plain} is there already")
        known = {r.directory for r in tx.repositories()}
    root = registry.root_of(installation.settings, before.directory)
    if not root:
        raise Refusal("usage", text=f"{before.directory} is below no root")
    target = f"{root}/{plain}.git"
    found = there([before.directory, target])
    to_move = before.directory in found
    if to_move and target in found:
        raise Refusal("usage", text=f"{target} is there already")
    if not found:
        raise Refusal("usage", text=f"neither {before.directory} nor {target} is there")
    if not to_move:
        uid = uid_of(installation.settings.host.account)
        hindrance = adopting.obstacle(Found(plain, target, root), installation.settings, uid, known)
        if hindrance is not None:
            raise Refusal("usage", text=hindrance.why, hint=hindrance.remedy)
    if to_move:
        registry.move(before.directory, target)
    try:
        with installation.store.writing() as tx:
            tx.rename_repository(before.name, plain, target)
            tx.record(
                "repository-renamed", moment.at, actor, repository=plain, before=before.name, directory=target
            )
    except Refusal:
        if to_move:
            registry.move(target, before.directory)
        raise
    return before.name, target, take_effect(installation, moment)


def forget(
    installation: Installation, name: str, moment: Moment, actor: str
) -> tuple[Repository, list[str], Effects]:
    """Make a repository unknown; (what it was, its admins, what followed). Nothing on disk is deleted."""
    with installation.store.writing() as tx:
        gone = registry.known(tx, installation.settings, name)
        admins = tx.repository_admins(gone.name)
        tx.forget_repository(gone.name)
        tx.remember_forgotten(gone.directory, moment.at)
        tx.record(
            "repository-forgotten",
            moment.at,
            actor,
            repository=gone.name,
            directory=gone.directory,
            require=gone.require,
        )
    return gone, admins, take_effect(installation, moment)


def renew_hooks(
    installation: Installation, moment: Moment, actor: str
) -> tuple[list[str], list[tuple[str, str]]]:
    """Bring the hook of every known repository up to date: (names renewed, (name, why not) for the rest)."""
    hook, uid = live_hook(installation), uid_of(installation.settings.host.account)
    with installation.store.reading() as tx:
        repositories = tx.repositories()
        known = {repository.directory for repository in repositories}
    renewed: list[str] = []
    left: list[tuple[str, str]] = []
    lent: dict[str, list[str]] = {}
    found_on_disk = set(folders([repository.directory for repository in repositories]))
    for repository in repositories:
        root = registry.root_of(installation.settings, repository.directory)
        found = Found(repository.name, repository.directory, root)
        if not root or repository.directory not in found_on_disk:
            if not installation.settings.store.url.is_file:
                continue  # another server's
            left.append((repository.name, f"{repository.directory} is not there"))
            continue
        if hindrance := adopting.obstacle(found, installation.settings, uid, known):
            left.append((repository.name, hindrance.why))
            continue
        try:
            lent[repository.name] = borrowed(found.directory)
            if adopting.prepare(found, uid, hook):
                renewed.append(repository.name)
        except Refusal as refusal:
            left.append((repository.name, refusal.text or refusal.detail))
    with installation.store.reading() as tx:
        noted = sorted(tx.borrowings())
    if renewed or noted != sorted((name, lender) for name, lenders in lent.items() for lender in lenders):
        with installation.store.writing() as tx:
            for name in renewed:
                tx.record("hook-installed", moment.at, actor, repository=name)
            for name, lenders in lent.items():
                if tx.repository(name) is not None and tx.set_borrowings(name, lenders):
                    tx.record("borrowing-noted", moment.at, actor, repository=name, lenders=lenders)
    return renewed, left
