"""Every repository: is it the one that Git opens, is its hook live, and can it be had without sshd?"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator

from gitguard.config.schema import Settings
from gitguard.doctor.finding import Finding, gap, note, ok, remedy_of
from gitguard.doctor.reach import Reach
from gitguard.message.reasons import Refusal
from gitguard.policy.requirement import toggle_requires
from gitguard.repository.adopting import hooks_elsewhere, left_overs, moved_by_hook, obstacle
from gitguard.repository.chained_hooks import LEFT_ALONE, in_folder, others_fault
from gitguard.repository.directory import borrowed
from gitguard.repository.hook_file import hook_fault
from gitguard.repository.registry import GIT, Found, lending, on_disk, root_of
from gitguard.session.moment import now
from gitguard.store.contract import Reading
from gitguard.store.rows import Repository


def repository_findings(
    settings: Settings, known: list[Repository], hook: bytes, forgotten: set[str]
) -> Iterator[Finding]:
    """One by one, and those on disk that are not known."""
    uid = os.geteuid()
    directories = {repository.directory for repository in known}
    before = 0
    good = 0
    for repository in known:
        if not settings.store.url.is_file and not os.path.isdir(repository.directory):
            continue  # another server's
        faults = list(_faults(settings, repository, hook, uid, directories))
        yield from faults
        good += not any(fault.level == "gap" for fault in faults)
        before += 1
    elsewhere = f", {len(known) - before} more are on other servers" if before < len(known) else ""
    yield ok("repositories", f"{good} of {before} known repositories are in order{elsewhere}")
    for found in on_disk(settings):
        if found.directory in forgotten:
            yield note("repository-forgotten", f"{found.directory} was forgotten, so it is refused")
        elif found.directory not in directories:
            yield gap(
                "repository-not-known",
                f"{found.directory} is on disk but not known, so it is refused",
                f"gitguard admin repo adopt {shlex.quote(found.name)}",
            )
        nested = _nested(found)
        if nested:
            yield gap(
                "repository-nested",
                f"{nested} lies inside {found.directory}",
                f"mv {shlex.quote(nested)} {shlex.quote(os.path.dirname(found.directory))}/",
            )


def _faults(
    settings: Settings, repository: Repository, hook: bytes, uid: int, known: set[str]
) -> Iterator[Finding]:
    name = repository.name
    root = root_of(settings, repository.directory)
    if not root or not os.path.isdir(repository.directory):
        if not settings.store.url.is_file:
            return  # below none of our roots: another server's
        yield gap(
            "repository-missing",
            f"{name}: {repository.directory} is not there",
            f"put it back, or run: gitguard admin repo forget {shlex.quote(name)}; if it was moved: gitguard admin repo rename {shlex.quote(name)} NEW",
        )
        return
    hindrance = obstacle(Found(name, repository.directory, root), settings, uid, known, mends=False)
    elsewhere = hooks_elsewhere(repository.directory)
    if elsewhere is not None:
        yield gap("hooks-path", f"{name}: {elsewhere.why}", elsewhere.remedy)
    elif hindrance is not None and not hindrance.lender:
        yield gap(
            "repository-refused",
            f"{name}: {hindrance.why}",
            remedy_of(hindrance.why, str(settings.host.account), hindrance.remedy),
        )
    if fault := hook_fault(repository.directory, hook, uid):
        remedy = remedy_of(fault, str(settings.host.account), "gitguard admin init")
        yield gap(
            "hook-not-live",
            f"{name}: {fault}",
            remedy if "repo adopt" not in remedy else "gitguard admin init",
        )
    yield from _other_hooks(repository, uid, str(settings.host.account))
    try:
        for lender in borrowed(repository.directory):
            if lender in known:
                yield note(
                    "borrows",
                    f"{name} borrows objects from {lender}, so that one's read requirement applies too",
                )
            else:
                yield gap(
                    "borrows",
                    f"{name} borrows objects from {lender}, which is not known, so {name} is refused",
                    _own_objects(repository.directory, str(settings.host.account)),
                )
    except Refusal:
        pass  # said above: obstacle asks the same question
    if taken := moved_by_hook(repository.directory):
        yield note(
            "proc-receive",
            f"{name}: receive.procReceiveRefs gives {', '.join(taken)} to a hook that may move any ref; every rule for refs is asked about such a push",
        )
    if os.path.exists(f"{repository.directory}/git-daemon-export-ok"):
        yield gap(
            "git-daemon",
            f"{name}: git-daemon-export-ok lets git-daemon serve it without any key",
            f"rm {repository.directory}/git-daemon-export-ok",
        )


def _own_objects(directory: str, account: str) -> str:
    """What it borrows becomes its own; the list of lenders is kept beside."""
    info = f"{directory}/objects/info"
    line = f"git -C {shlex.quote(directory)} repack -a -d -q && mv {shlex.quote(info)}/alternates {shlex.quote(info)}/alternates.off"
    return f"runuser -u {account} -- sh -c {shlex.quote(line)}"


def _other_hooks(repository: Repository, uid: int, account: str) -> Iterator[Finding]:
    """The hooks that run after ours: what refuses every push, what fell silent, what runs by accident."""
    name, directory = repository.name, repository.directory
    if fault := others_fault(directory, uid):
        yield gap(
            "other-hook",
            f"{name}: {fault}, so every push is refused",
            remedy_of(fault, account, "mend it, or move it away"),
        )
    if os.path.exists(f"{directory}/{LEFT_ALONE}"):
        return
    try:
        files = in_folder(directory)
    except OSError:
        return  # said by others_fault
    for path in files:
        whole = f"{directory}/{path}"
        plain = os.path.isfile(whole) and not os.path.basename(path).startswith(".")
        if (
            plain
            and not os.access(whole, os.X_OK)
            and not path.endswith((".md", ".txt", ".sample", ".conf", ".cfg"))
        ):
            yield gap(
                "hook-silent",
                f"{name}: {path} is not executable, so it does not run",
                f"chmod +x {shlex.quote(whole)}, or move it away",
            )
    for left in left_overs(directory):
        yield gap(
            "hook-left-over",
            f"{name}: pre-receive.d/{left} looks like what an editor or a package left, and would run",
            f"rm {shlex.quote(f'{directory}/hooks/pre-receive.d/{left}')}",
        )


def lending_findings(tx: Reading, known: list[Repository]) -> Iterator[Finding]:
    """Anyone who lends can take away what its borrowers need, by maintenance too."""
    lends = lending(tx, known).lends
    for lender in known:
        if lender.name not in lends:
            continue
        names = ", ".join([borrower.name for borrower in lends[lender.name][:5]])
        yield note(
            "lends",
            f"{lender.name} lends objects to {names}: pushing there needs what they require, and its maintenance may prune what they need",
            f"git -C {shlex.quote(lender.directory)} config gc.pruneExpire never, or give the borrowers their own objects: git repack -a -d",
        )


def _nested(found: Found) -> str:
    for folder, names, _ in os.walk(found.directory):
        if folder == found.directory:
            # What a push makes below refs, logs and objects is Git's own, whatever it is called.
            names[:] = [name for name in names if name not in ("refs", "logs", "objects")]
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith(".git") and os.path.isfile(f"{path}/HEAD") and os.path.isdir(f"{path}/objects"):
                return path
        if folder != found.directory:
            names[:] = []  # the first two levels are where such things are put
    return ""


def demand_findings(
    settings: Settings, tx: Reading, known: list[Repository], config: str
) -> Iterator[Finding]:
    """What is required of whom, and what is required of nobody."""
    demanding = [r for r in known if toggle_requires(r.require, "push")]
    enforcement = settings.git.enforcement
    if enforcement == "off":
        if demanding:
            yield gap(
                "enforcement-off",
                f"enforcement is off while {len(demanding)} repositories require 2FA ({demanding[0].name}, ...)",
                f"sed -i 's/^enforcement *=.*/enforcement = \"opt-in\"/' {config}",
            )
        else:
            yield note(
                "enforcement-off",
                "enforcement is off: nothing is required",
                'enforcement = "opt-in" or "enforced"',
            )
    elif enforcement != "enforced" and not demanding:
        yield note(
            "nothing-required",
            f"enforcement is {enforcement} and no repository requires 2FA, so everything just works",
            'gitguard admin repo require REPO push, or enforcement = "enforced"',
        )
    if enforcement == "enforced" or (enforcement != "off" and demanding):
        missing = [
            user.name
            for user in tx.users()
            if user.state == "active" and tx.keys(user.name) and not tx.has_factor(user.name)
        ]
        if missing:
            yield note(
                "not-enrolled",
                f"2FA is required, and {len(missing)} of those with a key have no second factor: {', '.join(missing[:10])}",
                _invited(tx, missing),
            )
        else:
            yield ok("enrolled", "every user with a key has a second factor")


def _invited(tx: Reading, missing: list[str]) -> str:
    """The line that mends it, and invalidates no invite that is on its way to someone."""
    at = now().at
    without = [name for name in missing if (held := tx.invite(name)) is None or held[1] <= at]
    if not without:
        return "each of them has an open invite; another one: gitguard admin user invite NAME"
    return (
        f"gitguard admin user invite {'--all' if len(without) == len(missing) else ' '.join(without[:100])}"
    )


def reading_demanded(settings: Settings, tx: Reading, known: list[Repository]) -> set[str]:
    """Whose reading requires 2FA of everyone: by toggle, or since the server enforces it."""
    del tx
    if settings.git.enforcement == "off":
        return set()
    if settings.git.enforcement == "enforced":
        return {repository.name for repository in known}
    return {repository.name for repository in known if toggle_requires(repository.require, "read")}


def reading_findings(
    settings: Settings, known: list[Repository], demanding: set[str], reach: Reach
) -> Iterator[Finding]:
    """Which repositories other local accounts read, past every key: a gap where reading requires 2FA."""
    account = str(settings.host.account)
    said = {
        repository.name: who
        for repository in known
        if os.path.isdir(repository.directory)
        and (who := reach.reader_on_the_way(f"{repository.directory}/objects"))
    }
    closed = [name for name in said if name in demanding]
    if closed:
        name = closed[0]
        more = f", and {len(closed) - 1} more that require 2FA for reading" if len(closed) > 1 else ""
        root = root_of(settings, f"{_directory(known, name)}/") or _directory(known, name)
        yield gap(
            "repository-readable",
            f"{name} is read by other accounts of this machine, whoever they are: {said[name]}{more}",
            f"chmod o-rx,g-w {shlex.quote(root)} && chgrp {account} {shlex.quote(root)}",
        )
    elif said:
        name = next(iter(said))
        yield note(
            "repository-readable",
            f"{len(said)} {'repository is' if len(said) == 1 else 'repositories are'} read by other accounts of this machine ({name}, say): {said[name]}",
        )


def _directory(known: list[Repository], name: str) -> str:
    return next(repository.directory for repository in known if repository.name == name)


def system_hooks_path_findings() -> Iterator[Finding]:
    """core.hooksPath for the whole system would silence every repository's own hooks."""
    system = subprocess.run(
        ["git", "config", "--system", "--get", "core.hooksPath"],
        capture_output=True,
        text=True,
        check=False,
        env=GIT,
    )
    if system.returncode == 0:
        yield gap(
            "hooks-path",
            f"core.hooksPath is set for the whole system: {system.stdout.strip()}",
            "git config --system --unset core.hooksPath",
        )
