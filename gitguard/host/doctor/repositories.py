"""Every repository: is it the one that Git opens, is its hook live, and can it be had without sshd?"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator

from gitguard.config.schema import Settings
from gitguard.host.doctor.finding import Finding, gap, note, ok
from gitguard.message.reasons import Refusal
from gitguard.policy.requirement import toggle_requires
from gitguard.repository.directory import borrowed
from gitguard.repository.hook_file import hook_fault
from gitguard.repository.registry import Found, hooks_elsewhere, obstacle, on_disk, roots
from gitguard.store.contract import Reading, Repository

GITWEB = ("/etc/gitweb.conf", "/etc/gitweb-common.conf", "/etc/cgitrc")
DAEMON = (
    "/etc/default/git-daemon",
    "/etc/systemd/system/git-daemon.service",
    "/etc/inetd.conf",
    "/etc/sv/git-daemon/run",
)


def repository_findings(settings: Settings, known: list[Repository], hook: bytes) -> Iterator[Finding]:
    """One by one, and those on disk that are not known."""
    uid = os.geteuid()
    before = 0
    good = 0
    for repository in known:
        faults = list(_faults(settings, repository, hook, uid, {r.directory for r in known}))
        yield from faults
        good += not any(fault.level == "gap" for fault in faults)
        before += 1
    yield ok("repositories", f"{good} of {before} known repositories are in order")
    directories = {repository.directory for repository in known}
    for found in on_disk(settings):
        if found.directory not in directories:
            yield gap(
                "repository-not-known",
                f"{found.directory} is on disk but not known, so it is refused",
                f"gitguard admin repo adopt {found.name}",
            )
        nested = _nested(found)
        if nested:
            yield gap(
                "repository-nested",
                f"{nested} lies inside {found.directory}",
                "move it out; it is refused where it is",
            )


def _faults(
    settings: Settings, repository: Repository, hook: bytes, uid: int, known: set[str]
) -> Iterator[Finding]:
    name = repository.name
    root = next((r for r in roots(settings) if repository.directory.startswith(r + "/")), None)
    if root is None or not os.path.isdir(repository.directory):
        yield gap(
            "repository-missing",
            f"{name}: {repository.directory} is not there",
            f"gitguard admin repo rename {name} NEW if it was moved, or forget {name}",
        )
        return
    why, remedy = obstacle(Found(name, repository.directory, root), settings, uid)
    elsewhere, where = hooks_elsewhere(repository.directory)
    if elsewhere:
        yield gap("hooks-path", f"{name}: {elsewhere}", where)
    elif why:
        yield gap("repository-refused", f"{name}: {why}", remedy)
    if fault := hook_fault(repository.directory, hook, uid):
        yield gap("hook-not-live", f"{name}: {fault}", "gitguard admin repo adopt --all")
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
                    "adopt the lender, or: git repack -a -d and remove objects/info/alternates",
                )
    except Refusal:
        pass  # said above: obstacle asks the same question
    if os.path.exists(f"{repository.directory}/git-daemon-export-ok"):
        yield gap(
            "git-daemon",
            f"{name}: git-daemon-export-ok lets git-daemon serve it without any key",
            f"rm {repository.directory}/git-daemon-export-ok",
        )


def _nested(found: Found) -> str:
    for folder, names, _ in os.walk(found.directory):
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith(".git") and os.path.isfile(f"{path}/HEAD") and os.path.isdir(f"{path}/objects"):
                return path
        if folder != found.directory:
            names[:] = []  # the first two levels are where such things are put
    return ""


def demand_findings(settings: Settings, tx: Reading, known: list[Repository]) -> Iterator[Finding]:
    """What is demanded of whom, and what is demanded of nobody."""
    demanding = [r for r in known if toggle_requires(r.require, "push")]
    enforcement = settings.git.enforcement
    if enforcement == "off":
        if demanding:
            yield gap(
                "enforcement-off",
                f"enforcement is off while {len(demanding)} repositories demand 2FA ({demanding[0].name}, ...)",
                'enforcement = "opt-in"',
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
            f"enforcement is {enforcement} and no repository demands 2FA, so everything just works",
            'gitguard admin repo require REPO push, or enforcement = "enforced"',
        )
    if enforcement == "enforced" or (enforcement != "off" and demanding):
        missing = [
            user.name
            for user in tx.users()
            if user.state == "active" and tx.keys(user.name) and tx.factor(user.name) is None
        ]
        if missing:
            yield gap(
                "not-enrolled",
                f"2FA is required, and {len(missing)} users have no second factor: {', '.join(missing[:10])}",
                "gitguard admin user invite NAME",
            )
        else:
            yield ok("enrolled", "every user with a key has a second factor")


def export_findings(settings: Settings) -> Iterator[Finding]:
    """Other programs that serve the same folders."""
    places = roots(settings)
    for path in (*GITWEB, *DAEMON):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read(1 << 20)
        except OSError:
            continue
        lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
        for root in places:
            if any(re.search(re.escape(root) + r"(/|\b|$)", line) for line in lines):
                yield gap(
                    "exported",
                    f"{path} exports {root}, past sshd and gitguard",
                    "take the root out of it, or accept and say so",
                )
    system = subprocess.run(
        ["git", "config", "--system", "--get", "core.hooksPath"], capture_output=True, text=True, check=False
    )
    if system.returncode == 0:
        yield gap(
            "hooks-path",
            f"core.hooksPath is set for the whole system: {system.stdout.strip()}",
            "git config --system --unset core.hooksPath",
        )
