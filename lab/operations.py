"""docs/operations.md typed from top to bottom: on an empty server, on one that has been in use for
years, on a git-shell account.

`python -m lab.operations empty|in-use|git-shell`. The commands are read from the page itself; only
names, the port and how sshd is reloaded are this machine's. Prints each command with its time; exits 1
at the first thing that is not so.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from lab import hook_kinds
from lab.host import ACCOUNT, SOURCE, Host, inside
from lab.server import Done, Person, run

sys.path.insert(0, str(SOURCE / "tools"))
from dist import dist

PAGE = SOURCE / "docs" / "operations.md"
GITOLITE = "/usr/share/gitolite3/gitolite-shell"
SK = "sk-ssh-ed25519@openssh.com"


T = TypeVar("T")


def at_once(names: Iterable[str], look: Callable[[str], T]) -> dict[str, T]:
    """What `look` says of each of `names`; a few at a time, since most of it is waiting for sshd."""
    names = list(names)
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(names, pool.map(look, names), strict=True))


class Admin:
    """Someone at root's prompt, with the page beside them."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.folder = host.folder / "desk"
        self.folder.mkdir(exist_ok=True)
        self.count, self.seconds = 0, 0.0

    def block(self, heading: str, number: int = 0) -> list[str]:
        """The lines of the `number`-th indented block below a heading of the page, without their remarks."""
        part = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        blocks = re.findall(r"(?:^    .*\n)+", part, re.MULTILINE)
        return [re.split(r"\s{2,}# ", line.strip())[0] for line in blocks[number].splitlines()]

    def type(self, line: str, *statuses: int) -> Done:
        """Type it; it must exit with 0, or one of `statuses`."""
        line = line.replace("--host git.example.com", f"--host 127.0.0.1 --port {self.host.port}")
        line = line.replace("/srv/git", str(self.host.repositories))
        began = time.monotonic()
        kept = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("PIP_", "SSL_", "REQUESTS_"))
        }
        env = {**self.host.env, **kept}
        env.pop("PYTHONPATH")
        done = run(["sh", "-c", line], cwd=self.folder, env=env, status=None, timeout=300)
        took = time.monotonic() - began
        self.count += 1
        self.seconds += took
        print(f"{took:6.1f} s  [{done.status}] {line}", flush=True)
        assert done.status in (statuses or (0,)), done.text
        return done

    def install(self) -> None:
        """The program itself, as the page for an empty server has it; Debian's packages were there before.

        `--copied`: a copy of this one instead, for a quicker run.
        """
        if "--copied" in sys.argv:
            self.host.copy_package()
            for path in ("/usr/local/bin/gitguard", "/opt/gitguard/bin/gitguard"):
                Path(path).parent.mkdir(exist_ok=True)
                self.host.program(Path(path))
            return
        for line in self.release(self.block("Install on an empty server")):
            if "admin init" in line:
                break
            if not line.startswith(("apt-get", "useradd")):
                self.type(line)

    def release(self, lines: list[str]) -> list[str]:
        """Put a release on the desk: the wheel, or with `--source` the sdist unpacked, and the
        page's other two lines for it.
        """
        sdist, wheel = dist(self.host.folder / "dist")
        if "--source" not in sys.argv:
            shutil.copy(wheel, self.folder)
            return lines
        unpacked = self.host.folder / "unpacked"
        unpacked.mkdir()
        subprocess.run(["tar", "-xzf", sdist, "-C", unpacked], check=True)
        shutil.copytree(
            self.host.folder / "unpacked" / sdist.name.removesuffix(".tar.gz"),
            self.folder,
            dirs_exist_ok=True,
        )
        first = next(number for number, line in enumerate(lines) if line.endswith(".whl"))
        return [*lines[:first], *self.block("Install on an empty server", 1), *lines[first + 2 :]]


def empty() -> None:
    """An empty server: every line of the page, then alice's first day."""
    host = Host(empty=True)
    admin = Admin(host)
    host.start()
    alice = host.key("alice")
    shutil.copy(f"{alice.key}.pub", admin.folder / "alice.pub")
    try:
        lines = admin.block("Install on an empty server")
        assert len(lines) == 8, "as many as somebody types in an afternoon"
        for line in admin.release(lines):
            if line.startswith("apt-get"):
                continue  # the lab needs them itself
            done = admin.type(line)
            if "admin init" in line:
                assert "no gap: every way in is guarded" in done.out, done.out
                assert done.out.index("next:") < done.out.index("no gap"), done.out
                assert "sshd_config" not in done.out.partition("next:")[2], "what is done is not asked for"
            if "user add" in line:
                alice.invite = done.out.split()[-1]
        tree = clone_of_nothing(host)
        refused = host.git(alice, "push", host.url("team/app"), "main", cwd=tree)
        assert "[enrolment-required]" in refused.err, refused.text
        host.enroll(alice)
        host.ssh(alice, "2fa leave", status=0)
        refused = host.git(alice, "push", host.url("team/app"), "main", cwd=tree)
        assert first_screen(host) in refused.err.splitlines(), refused.text
        print("ok: the block of the page ends in the refusal of the first screen")
        host.verify_by_recovery_code(alice)
        host.git(alice, "push", host.url("team/app"), "main", cwd=tree, status=0)
        print("ok: refused, set up, pushed")
        again = admin.type("gitguard admin init --reload").out
        assert "next:" not in again, again
        for name in (
            "etc/nginx/gitguard.conf",
            "etc/systemd/gitguard-web.service",
            "docs/operations.md",
            "requirements/web.txt",
        ):
            assert Path("/opt/gitguard/share/gitguard", name).exists(), name
        assert os.access("/opt/gitguard/share/gitguard/etc/notify/mail", os.X_OK)
        backups(admin)
        for page in ("man1/git-guard.1", "man5/gitguard.toml.5", "man8/gitguard-admin.8"):
            assert Path("/opt/gitguard/share/man", page).exists(), page
        assert admin.type("gitguard admin doctor --quiet").out == ""
        assert admin.type("gitguard admin doctor --quick --quiet").out == ""
        assert Path("/var/lib/gitguard/config.compiled").owner() == ACCOUNT, "root has not made it anew"
        by_hand(admin, alice, tree)
        print(f"{admin.count} commands, {admin.seconds:.1f} s of machine time")
    finally:
        host.stop()


def first_screen(host: Host) -> str:
    """The refusal that README begins with, for this host."""
    line = re.search(r"^    (fatal: .*)$", (SOURCE / "README.md").read_text(), re.MULTILINE)
    assert line
    return line[1].replace("git@git.example.com", f"-p {host.port} git@127.0.0.1")


def by_hand(admin: Admin, alice: Person, tree: Path) -> None:
    """The other way out, where gitguard itself does not run any more: alice pushes by the whole path."""
    host = admin.host
    for line in admin.block("Uninstall", 1):
        admin.type(line)
    shutil.rmtree("/usr/local/lib/gitguard")
    shutil.rmtree("/opt/gitguard")
    url = f"ssh://{ACCOUNT}@127.0.0.1:{host.port}{host.repositories}/team/app.git"
    host.git(alice, "push", url, "main:by-hand", cwd=tree, status=0)
    print("ok: uninstalled by hand; pushed")


def backups(admin: Admin) -> None:
    """The page's backup, into a folder of root's."""
    Path("/srv/backup").mkdir(mode=0o700)
    for line in admin.block("Back up"):
        admin.type(line.replace("/backup/", "/srv/backup/").replace("/safe/place/elsewhere/", "/srv/backup/"))
    assert len(list(Path("/srv/backup").iterdir())) == 2


def commit(tree: Path) -> None:
    """One more commit there, of nothing."""
    author = ["-c", "user.name=x", "-c", "user.email=x@x"]
    run(["git", "-C", str(tree), *author, "commit", "-q", "--allow-empty", "-m", "x"])


def clone_of_nothing(host: Host) -> Path:
    """A work tree with one commit."""
    tree = host.folder / "tree"
    run(["git", "init", "-q", "-b", "main", str(tree)])
    commit(tree)
    return tree


# -- a server in use ----------------------------------------------------------------------------------


def look_through(admin: Admin, used: Used) -> int:
    """What the page means by it: names where the map says USER. How many lines were touched."""
    path = admin.folder / "map"
    by_key = {person.fingerprint: name for name, person in used.people.items()}
    lines, touched = [], 0
    for line in path.read_text().splitlines():
        words = line.split()
        if words[1:2] == ["USER"]:
            touched += 1
            words[1] = by_key[words[0]]
        lines.append(" ".join(words))
    path.write_text("\n".join(lines) + "\n")
    print(f"                by hand: {touched} of {len(lines)} lines of the map named")
    return touched


class Used:
    """An account that people have pushed to for years: keys of all kinds, repositories of all kinds."""

    def __init__(self, host: Host, *, shell: str, commands: bool) -> None:
        self.host = host
        run(["useradd", "--create-home", "--shell", shell, ACCOUNT])
        run(["usermod", "-p", "*", ACCOUNT])
        self.people: dict[str, Person] = {}
        host.key_file.parent.mkdir(mode=0o700)
        self.lines: list[str] = ["# keys of the team", ""]
        if commands:
            self._gitolite()
        self._keys(commands=commands)
        host.key_file.write_bytes(("\n".join(self.lines) + "\n").encode())
        self._repositories()
        run(["chown", "-R", f"{ACCOUNT}:{ACCOUNT}", str(host.home)])
        host.key_file.chmod(0o600)

    def _gitolite(self) -> None:
        """Real gitolite for some, set up before the rest came."""
        key = self.host.key("gladmin")
        run(["cp", f"{key.key}.pub", "/home/gladmin.pub"])
        run(["chown", "-R", f"{ACCOUNT}:{ACCOUNT}", str(self.host.home)])
        self.host.as_account("gitolite", "setup", "-pk", "/home/gladmin.pub")

    def _key(self, name: str, options: str = "", kind: str = "ed25519", comment: str | None = None) -> str:
        person = self.host.key(name, kind)
        self.people[name] = person
        words = Path(f"{person.key}.pub").read_text().split()
        words[2:] = [comment if comment is not None else f"{name}@laptop"]
        line = " ".join([*([options] if options else []), *words]).rstrip()
        self.lines.append(line)
        return line

    def _keys(self, *, commands: bool) -> None:
        quiet = "no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty"
        for name, options, kind in (
            ("ann", "", "ed25519"), ("ben", "", "rsa"), ("cem", "", "ecdsa"), ("dan", quiet, "ed25519"),
            ("eva", quiet + ",no-user-rc", "rsa"), ("fay", "restrict", "ed25519"), ("gus", "no-agent-forwarding", "ed25519"),
            ("hal", 'from="127.0.0.1"', "ed25519"), ("ida", 'from="192.0.2.0/24,!192.0.2.9"', "ed25519"),
            ("jan", 'expiry-time="20991231"', "ed25519"), ("kim", 'expiry-time="20200101"', "ecdsa"),
            ("leo", 'permitopen="localhost:80",no-pty', "ed25519"), ("mia", f'from="127.0.0.1",{quiet}', "rsa"),
        ):  # fmt: skip
            self._key(name, options, kind)
        self._key("nia", comment="nia@büro.example")
        self._key("ole", comment="# gitguard end")
        self._key("pia", comment="")
        self.lines[-1] += "\r"
        self._key("quy")
        self.lines[-1] = self.lines[-1].replace(" ", "\t", 1)
        self._key("rob")
        self.lines.append(self.lines[-1])  # twice, as copies are
        self._key("sue", "RESTRICT,No-Pty")
        if commands:
            for name in ("tom", "uma", "vic"):
                self._key(name, f'command="{GITOLITE} {name}",{quiet}')
        # What cannot be taken over as it is.
        self._key("odd-env", 'environment="LANG=C"')
        self._key("odd-ca", "cert-authority")
        self._key("odd-pty", "restrict,pty")
        self._key("odd-shell", 'command="echo hello; exit 1"')
        blob = "AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gAAAABHNzaDo="
        self.lines += [
            f"{SK} {blob} wim@yubikey",
            "# " + self._key("xia").removesuffix("\n"),
            "ssh-ed25519 AAAAbroken yan@laptop",
            "",
        ]
        self.lines.remove(self.lines[-3].removeprefix("# "))  # xia's stands commented out alone

    def _repositories(self) -> None:
        root = self.host.repositories
        root.mkdir(exist_ok=True)
        for name in (
            "app", "lib", "docs", "web/shop", "web/blog", "ops/infra/deep", "with space", "projekt-ä", "projekt-ö", "a.b-c_d", "UPPER",
            "empty", "site", "pool", "shared-group", "sha256", "mirror", "old", "hooks-path",
        ):  # fmt: skip
            self._bare(
                root / f"{name}.git", "--object-format=sha256" if name == "sha256" else "--object-format=sha1"
            )
        self._bare(root / "without-suffix", "--object-format=sha1")
        for kind in hook_kinds.KINDS:
            directory = root / "hooks" / f"{kind.__name__.replace('_', '-')}.git"
            self._bare(directory, "--object-format=sha1")
            kind(directory / "hooks")
        run(["git", "clone", "-q", "--bare", "-s", str(root / "pool.git"), str(root / "borrower.git")])
        run(["git", "-C", str(root / "shared-group.git"), "config", "core.sharedRepository", "group"])
        run(["chmod", "-R", "g+w", str(root / "shared-group.git")])
        run(["git", "-C", str(root / "hooks-path.git"), "config", "core.hooksPath", "/srv/hooks"])
        (root / "linked.git").symlink_to(root / "app.git")
        run(["git", "init", "-q", str(root / "worktree")])
        self.site = self.host.home / "site"
        run(["git", "clone", "-q", str(root / "site.git"), str(self.site)])
        hook_kinds.write(
            root / "site.git/hooks/post-receive",
            f"#!/bin/sh\ncd {self.site}; unset GIT_DIR; git pull -q origin main\n",
        )
        hook_kinds.write(self.site / ".git/hooks/post-merge", "#!/bin/sh\necho merged >> merged\n")

    def _bare(self, path: Path, word: str) -> None:
        run(["git", "init", "-q", "--bare", "--template=", word, str(path)])
        (path / "hooks").mkdir(exist_ok=True)

    @property
    def repositories(self) -> list[str]:
        """Every path that people use, by its name below the account's home."""
        found = [
            str(path.parent.relative_to(self.host.home))
            for path in sorted(self.host.repositories.rglob("HEAD"))
            if (path.parent / "refs").is_dir()
        ]
        return [name for name in found if "worktree" not in name and "shared/" not in name]

    def reading(self, person: Person, name: str) -> bool:
        """Whether `git ls-remote` works, by the account's home as people spell it."""
        return self.host.git(person, "ls-remote", self.url(name)).status == 0

    def all_reading(self, names: Iterable[str]) -> dict[str, bool]:
        """Who of `names` reads a repository that everyone shares."""
        return at_once(names, lambda name: self.reading(self.people[name], "repositories/app.git"))

    def url(self, name: str) -> str:
        """`ssh://git@host/~/NAME` in its plainest form."""
        return f"ssh://{ACCOUNT}@127.0.0.1:{self.host.port}{self.host.home}/{name}"

    def pushed(self, person: Person, tree: Path, name: str, branch: str) -> tuple[int, list[str]]:
        """Exit status and the hooks' words of a push."""
        where = tree.with_name("tree256") if "sha256" in name else tree
        done = self.host.git(person, "push", self.url(name), f"HEAD:refs/heads/{branch}", cwd=where)
        said = [
            line.rstrip().replace(branch, "BRANCH")
            for line in done.err.splitlines()
            if line.startswith("remote: ")
        ]
        return done.status, [
            line
            for line in said
            if not line.startswith("remote: hint:") and "was ignored because" not in line
        ]


def in_use() -> None:
    """A server in use: what people could do, they can do; what was limited, stays
    limited; all that is left is named.
    """
    host = Host(empty=True)
    used = Used(host, shell="/bin/sh", commands=True)
    admin = Admin(host)
    host.start()
    try:
        live_on(used, admin)
    finally:
        host.stop()


def live_on(used: Used, admin: Admin) -> None:
    """Before, the page, after."""
    host = used.host
    tree, ann = clone_of_nothing(host), used.people["ann"]
    sha256 = tree.with_name("tree256")
    run(["git", "init", "-q", "-b", "main", "--object-format=sha256", str(sha256)])
    commit(sha256)
    host.git(ann, "push", "-q", used.url("repositories/site.git"), "main", cwd=tree, status=0)
    names = used.repositories
    before = used.all_reading(used.people)
    pushed = [name for name in names if "gitolite" not in name and "testing" not in name]
    pushes = at_once(pushed, lambda name: used.pushed(ann, tree, name, "first"))
    lines = sum(bool(line.strip()) and not line.startswith("#") for line in used.lines)
    print(
        f"before: {lines} key lines, {len(names)} repositories; {sum(before.values())} of {len(before)} people read, {sum(status == 0 for status, _ in pushes.values())} of {len(pushes)} pushes pass"
    )
    admin.install()
    for line in admin.block("Install on a server that is in use"):
        done = admin.type(line, 0, 1, 2)
        if "--map" in line:
            assert look_through(admin, used) <= 2
        if "doctor" in line:
            left = re.findall(r"^GAP   (\S+): (.*)$", done.out, re.MULTILINE)
    print(
        "left for a hand: "
        + ", ".join(
            f"{sum(name == n for n, _ in left)} x {name}" for name in dict.fromkeys(n for n, _ in left)
        )
    )
    mapped = (admin.folder / "map").read_text()
    assert mapped.count("\n# ") >= 3, mapped
    odd = {name for name in before if name.startswith("odd-")}
    after = used.all_reading(used.people)
    wrong = {name for name in before if before[name] != after[name]}
    assert not wrong, f"read before and after differ: {wrong}"
    print(
        f"ok: {len(before)} people read what they read before ({len(odd)} of them by lines that are named as left)"
    )
    refused = {name for name, _ in pushes.items() if "hooks-path" in name}
    for name, now in at_once(pushes, lambda name: used.pushed(ann, tree, name, "later")).items():
        if name in refused:
            assert now[0] != 0, name
        else:
            assert now == pushes[name], f"{name}: {pushes[name]} -> {now}"
    print(
        f"ok: {len(pushes) - len(refused)} pushes end as before, hooks' words and all; {len(refused)} was said not to be adopted"
    )
    commit(tree)
    host.git(ann, "push", "-q", used.url("repositories/site.git"), "main", cwd=tree, status=0)
    assert (used.site / "merged").read_text() == "merged\n", "the site's own hook"
    print("ok: a push still deploys")
    finish(used, admin)
    way_out(used, admin, before, pushes)


def finish(used: Used, admin: Admin) -> None:
    """What was left is done by hand, as doctor says; then it is silent, and 2FA can be required."""
    host = used.host
    text = host.key_file.read_text()
    kept = [
        line for line in text.splitlines() if not re.search(r"odd-|AAAAbroken", line) or "gitguard" in line
    ]
    host.key_file.write_text("\n".join(kept) + "\n")
    admin.type(f"git config --file {host.repositories}/hooks-path.git/config --unset core.hooksPath")
    admin.type("gitguard admin repo adopt hooks-path")
    for _ in range(3):  # each remedy as doctor prints it
        said = admin.type("gitguard admin doctor --quiet", 0, 1).out
        for remedy in re.findall(r"^      try: (.*)$", said, re.MULTILINE):
            admin.type(remedy)
        if not said:
            break
    assert admin.type("gitguard admin doctor --quiet", 0, 1).out == ""
    ann = used.people["ann"]
    admin.type("gitguard admin repo require app push")
    tree = host.folder / "tree"
    done = host.git(ann, "push", used.url("repositories/app.git"), "HEAD:refs/heads/three", cwd=tree)
    assert "[enrolment-required]" in done.err, done.text
    ann.invite = admin.type("gitguard admin user invite ann").out.split()[-1]
    host.enroll(ann)
    host.git(ann, "push", used.url("repositories/app.git"), "HEAD:refs/heads/three", cwd=tree, status=0)
    print("ok: refused, set up, pushed; doctor is silent")
    print(f"{admin.count} commands, {admin.seconds:.1f} s of machine time")


def way_out(
    used: Used, admin: Admin, before: dict[str, bool], pushes: dict[str, tuple[int, list[str]]]
) -> None:
    """The page's way out: everyone and every hook as before gitguard came, and no
    file of it is asked any more.
    """
    ann, tree = used.people["ann"], used.host.folder / "tree"
    for line in admin.block("Uninstall"):
        admin.type(line)
    shutil.rmtree("/usr/local/lib/gitguard")
    after = used.all_reading(before)
    wrong = {name for name in before if before[name] != after[name] and not name.startswith("odd-")}
    assert not wrong, f"read before and after differ: {wrong}"
    for name, now in at_once(pushes, lambda name: used.pushed(ann, tree, name, "last")).items():
        assert now == pushes[name] or "hooks-path" in name, f"{name}: {pushes[name]} -> {now}"
    print(f"ok: uninstalled; {len(after) - 4} people and {len(pushes) - 1} pushes are as before")


def git_shell() -> None:
    """The best-known book's set-up. Nobody is cut off, and nobody is handed a shell."""
    host = Host(empty=True)
    used = Used(host, shell="/usr/bin/git-shell", commands=False)
    admin = Admin(host)
    host.start()
    ann = used.people["ann"]
    try:
        assert used.reading(ann, "repositories/app.git")
        admin.install()
        for line in admin.block("Install on a server that is in use"):
            if "adopt --add-users map" in line:
                refused = admin.type(line, 2)
                assert "would lock everybody out" in refused.err, refused.text
                assert used.reading(ann, "repositories/app.git"), "nothing was changed"
            done = admin.type(
                line.replace("adopt --add-users map", "adopt --add-users --set-shell map"), 0, 1, 2
            )
            if "--map" in line:
                look_through(admin, used)
            if "admin init" in line:
                assert "keys first, then the shell" in done.out, done.out
        for name in ("ann", "ben", "fay"):
            assert used.reading(used.people[name], "repositories/app.git"), name
            shell = host.ssh(used.people[name], "id")
            assert "uid=" not in shell.out, shell.text
        print("ok: no one was cut off, no one got a shell")
        print(f"{admin.count} commands, {admin.seconds:.1f} s of machine time")
    finally:
        host.stop()


def main() -> int:
    """One story, or all."""
    stories = {"empty": empty, "in-use": in_use, "git-shell": git_shell}
    inside("lab.operations")
    stories[sys.argv[1] if len(sys.argv) > 1 else "empty"]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
