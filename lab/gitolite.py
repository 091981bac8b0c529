"""Real gitolite put behind the gate, step by step; prints what it saw, exits 1 at
the first thing that is not so.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lab.host import ACCOUNT, Host, inside
from lab.server import Person, run

SHELL = "/usr/share/gitolite3/gitolite-shell"


def main() -> int:
    """Adopt a gitolite server, and change things around it; what gitolite denies stays denied."""
    inside("lab.gitolite")
    host = Host()
    try:
        steps(host)
    finally:
        host.stop()
    return 0


def steps(host: Host) -> None:
    """The whole story."""
    root = host.key("gladmin")
    carol, dave = host.key("carol"), host.key("dave")
    pub = Path(f"{root.key}.pub")
    run(["cp", str(pub), "/home/gladmin.pub"])
    host.as_account("gitolite", "setup", "-pk", "/home/gladmin.pub")
    configure(host, root, carol, dave)
    host.install("--drop-in", "--timers")
    host.start()
    map_file = host.folder / "map"
    said = host.admin("key", "list", "--map").out
    print(said)
    map_file.write_text(said)
    print(host.admin("key", "adopt", "--add-users", "--dry-run", str(map_file)).text)
    print(host.admin("key", "adopt", "--add-users", str(map_file)).text)
    print(host.admin("repo", "adopt", "--all").text)
    check(host, carol, dave, "after adopting")
    erin = host.key("erin")
    done = host.admin("user", "add", "erin", "--key", f"{erin.key}.pub")
    assert "goes to git-shell" in done.err, done.text
    host.admin("user", "remove", "erin", "--yes")
    host.admin("user", "restore", "erin")
    host.admin("key", "add", "erin", f"{erin.key}.pub", "--behind", SHELL + " {user}")
    assert host.git(erin, "ls-remote", host.url("shared")).status != 0, "gitolite does not know erin"
    check(host, carol, dave, "after user add")
    other = host.key("erin2")
    host.admin("key", "add", "erin", f"{other.key}.pub")
    check(host, carol, dave, "after key add")
    host.admin("key", "remove", other.fingerprint)
    check(host, carol, dave, "after key remove of another")
    host.install()
    check(host, carol, dave, "after init")
    backup = host.folder / "backup"
    host.admin("store", "backup", str(backup))
    host.admin("store", "restore", str(backup), "--yes")
    host.install()
    check(host, carol, dave, "after restore and init")
    # Under 2FA: asked for first, and then gitolite still decides.
    host.admin("repo", "require", "shared", "all")
    refused(host, carol, "shared", "[enrolment-required]", "under 2FA, not enrolled")
    for person in (carol, dave):
        person.invite = host.admin("user", "invite", person.name).out.split()[-1]
        host.enroll(person)
    check(host, carol, dave, "under 2FA, verified")
    tree = clone(host, carol, "shared")
    (tree / "x").write_text("x\n")
    host.git(carol, "add", "x", cwd=tree, status=0)
    host.git(carol, "commit", "-qm", "x", cwd=tree, status=0)
    host.git(carol, "push", "-q", "origin", "HEAD:main", cwd=tree, status=0)
    print("ok: a push through the gate, our hook and gitolite's")
    text = host.admin("export").out
    assert text.count(f'    "{SHELL}",\n') == 4, text
    found = host.admin("doctor", "--json", status=None)
    keys = [
        f for f in json.loads(found.out)["findings"] if f["name"].startswith("key-") and f["level"] == "gap"
    ]
    assert not keys, keys
    print("ok: doctor is silent about the key lines")


def configure(host: Host, root: Person, carol: Person, dave: Person) -> None:
    """Gitolite's own configuration, through its compile: carol may read and write `shared`, dave may
    read it, `private` is dave's.
    """
    del root
    admin = host.home / "gladmin-tree"
    host.as_account("git", "clone", "-q", str(host.repositories / "gitolite-admin.git"), str(admin))
    conf = "repo gitolite-admin\n    RW+ = gladmin\nrepo shared\n    RW+ = carol\n    R = dave\nrepo private\n    RW+ = dave\n"
    (admin / "conf/gitolite.conf").write_text(conf)
    for person in (carol, dave):
        (admin / f"keydir/{person.name}.pub").write_text(Path(f"{person.key}.pub").read_text())
    run(["chown", "-R", f"{ACCOUNT}:{ACCOUNT}", str(admin)])
    host.as_account("git", "-C", str(admin), "-c", "user.name=x", "-c", "user.email=x@x", "add", ".")
    host.as_account(
        "git", "-C", str(admin), "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "conf"
    )
    host.as_account("env", "GL_BYPASS_ACCESS_CHECKS=1", "gitolite", "push", str(admin), status=None)
    host.as_account("git", "-C", str(admin), "push", "-q", "origin", "HEAD:master", status=None)
    host.as_account(
        "sh",
        "-c",
        f"cp {admin}/conf/gitolite.conf ~/.gitolite/conf/; cp {admin}/keydir/*.pub ~/.gitolite/keydir/; gitolite compile; gitolite trigger POST_COMPILE",
    )


def clone(host: Host, person: Person, name: str) -> Path:
    """A fresh clone."""
    tree = host.folder / f"clone-{person.name}-{name}"
    host.git(person, "clone", "-q", host.url(name), str(tree), status=0)
    return tree


def check(host: Host, carol: Person, dave: Person, when: str) -> None:
    """Gitolite's own rules, by what people get."""
    for person, name, good in (
        (carol, "shared", True),
        (dave, "shared", True),
        (dave, "private", True),
        (carol, "private", False),
    ):
        done = host.git(person, "ls-remote", host.url(name))
        assert (done.status == 0) == good, f"{when}: {person.name} {name}: {done.text}"
    print(f"ok: {when}")


def refused(host: Host, person: Person, name: str, reason: str, when: str) -> None:
    """Refused by the gate, with its reason."""
    done = host.git(person, "ls-remote", host.url(name))
    assert done.status == 128, done.text
    assert reason in done.err, f"{when}: {done.err}"
    print(f"ok: {when}")


if __name__ == "__main__":
    sys.exit(main())
