"""Gaps and healthy variations thought up by someone who had not read the doctor;
each plant shows that it works.

`python -m lab.strangers [NAME...]`, as root, prints a table: what was planted, and which finding names it.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lab.gaps import findings, healthy
from lab.host import SOURCE, Host, inside
from lab.plant import Plant, Undo, keep
from lab.server import Done, run

NO_ID = 0xFFFFFFFF
DROP = "/etc/ssh/sshd_config.d"


# -- helpers ---------------------------------------------------------------------------------------
class Steps:
    """Undo steps, run backwards; a plant that fails half way is taken back."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.undos: list[Undo] = []

    def later(self, undo: Undo) -> None:
        self.undos.append(undo)

    def __call__(self) -> None:
        for undo in reversed(self.undos):
            undo()
        self.undos.clear()

    # files
    def write(
        self, path: str | Path, content: str, bits: int = 0o644, uid: int = 0, *, append: bool = False
    ) -> Path:
        place = Path(path)
        missing = place.parent
        first: Path | None = None
        while not missing.exists():
            first, missing = missing, missing.parent
        if first is not None:
            self.later(partial(shutil.rmtree, first))
        else:
            self.later(keep(place))
        place.parent.mkdir(parents=True, exist_ok=True)
        if append:
            with open(place, "a") as file:
                file.write(content)
        else:
            place.write_text(content)
            place.chmod(bits)
            os.chown(place, uid, uid)
        return place

    def prepend(self, path: str | Path, content: str) -> None:
        self.later(keep(path))
        place = Path(path)
        place.write_text(content + place.read_text())

    def replace(self, path: str | Path, old: str, new: str) -> None:
        place = Path(path)
        before = place.read_text()
        assert old in before, f"{old} not in {path}"
        self.later(keep(path))
        place.write_text(before.replace(old, new))

    def mkdir(self, path: str | Path, bits: int = 0o755, uid: int = 0, gid: int | None = None) -> Path:
        place = Path(path)
        first, missing = place, place.parent
        while not missing.exists():
            first, missing = missing, missing.parent
        place.mkdir(parents=True)
        self.later(lambda: shutil.rmtree(first))
        place.chmod(bits)
        os.chown(place, uid, uid if gid is None else gid)
        return place

    def mode(self, path: str | Path, bits: int) -> None:
        before = os.stat(path).st_mode & 0o7777
        os.chmod(path, bits)
        self.later(lambda: os.chmod(path, before))

    def accounts(self) -> None:
        for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid"):
            for end in ("", "-"):
                self.later(keep(f"/etc/{name}{end}"))
        self.later(keep("/etc/.pwd.lock"))

    def bob(self, *groups: str) -> int:
        """An ordinary local account."""
        self.accounts()
        words = ["useradd", "-m", "-s", "/bin/bash"]
        if groups:
            words += ["-G", ",".join(groups)]
        run([*words, "bob"])
        self.later(lambda: shutil.rmtree("/home/bob", ignore_errors=True))
        return pwd.getpwnam("bob").pw_uid

    def script(self, path: str, uid: int, bits: int = 0o755, body: str = "exit 0") -> Path:
        """A program in a folder, both of someone's."""
        folder = Path(path).parent
        if not folder.exists():
            self.mkdir(folder, 0o755, uid)
        place = self.write(path, f"#!/bin/sh\n{body}\n", bits, uid)
        self.host.as_account("test", "-x", str(path))
        return place

    # sshd
    def sshd(self, name: str, content: str) -> None:
        self.write(f"{DROP}/{name}", content)
        self.reload()

    def reload(self) -> None:
        self.undos.insert(0, self.host.reload)  # last of all
        self.host.reload()

    def require_all(self) -> None:
        self.host.admin("repo", "require", "team/app", "all")
        self.later(lambda: self.host.admin("repo", "require", "team/app", "push"))

    def config(self, old: str, new: str) -> None:
        host = self.host
        self.undos.append(lambda: host.admin("config", "check", status=None))
        self.replace(host.config, old, new)
        host.admin("config", "check")

    def start(self, words: list[str], cwd: Path) -> None:
        program = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=cwd
        )

        def undo() -> None:
            program.terminate()
            program.wait(10)

        self.later(undo)
        assert program.poll() is None


def plant(function: Callable[[Host, Steps], None]) -> Plant:
    """A function of Steps as a plant."""

    def made(host: Host) -> Undo:
        steps = Steps(host)
        try:
            function(host, steps)
        except BaseException:
            steps()
            raise
        return steps

    made.__name__ = function.__name__  # by which a row is asked for
    return made


def reads(host: Host, name: str = "team/app") -> Done:
    return host.git(host.people["alice"], "ls-remote", host.url(name), status=None)


def shut(host: Host) -> None:
    done = reads(host)
    assert done.status != 0, "alice still reads"


def opened(host: Host) -> None:
    done = reads(host)
    assert done.status == 0, done.text


def effective(**spec: object) -> str:
    given = ",".join(
        f"{k}={v}" for k, v in {"user": "git", "host": "x.example", "addr": "203.0.113.9", **spec}.items()
    )
    return run(["/usr/sbin/sshd", "-T", "-C", given]).out.lower()


def alice_pub(host: Host) -> str:
    return Path(f"{host.people['alice'].key}.pub").read_text()


def as_bob(uid: int, *words: str) -> Done:
    return run(
        ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--init-groups", *words], status=None, cwd=Path("/")
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def seed(host: Host, s: Steps) -> Path:
    """A commit in team/app; the repository as it was comes back."""
    app = host.repositories / "team/app.git"
    copy = host.folder / "app-before"
    run(["cp", "-a", str(app), str(copy)])

    def undo() -> None:
        shutil.rmtree(app)
        run(["cp", "-a", str(copy), str(app)])
        shutil.rmtree(copy)

    s.later(undo)
    host.as_account(
        "sh",
        "-c",
        f"cd {app} && b=$(echo x | git hash-object -w --stdin) && t=$(printf '100644 blob %s\\tx\\n' $b | git mktree) && c=$(git -c user.name=x -c user.email=x@x commit-tree -m x $t) && git update-ref refs/heads/main $c && git symbolic-ref HEAD refs/heads/main",
    )
    clone = host.folder / "clone"
    s.later(lambda: shutil.rmtree(clone, ignore_errors=True))
    return clone


def clone_and_push(host: Host, clone: Path, *push: str) -> Done:
    alice = host.people["alice"]
    host.git(alice, "clone", "-q", host.url("team/app"), str(clone), status=0)
    host.git(alice, "commit", "-q", "--allow-empty", "-m", "y", cwd=clone, status=0)
    return host.git(
        alice, *(push or ("push", "-q", "origin", "HEAD:refs/heads/topic")), cwd=clone, status=None
    )


# -- sshd --------------------------------------------------------------------------------------------
@plant
def match_address(host: Host, s: Steps) -> None:
    s.write("/etc/ssh/keys/git", alice_pub(host))
    s.sshd(
        "00-admin.conf", "Match Address 192.168.0.0/16\n    AuthorizedKeysFile /etc/ssh/keys/%u\nMatch all\n"
    )
    assert "authorizedkeysfile /etc/ssh/keys/%u" in effective(addr="192.168.5.5")
    assert "authorizedkeysfile /home/git/" in effective()


@plant
def match_port_sftp(host: Host, s: Steps) -> None:
    port = free_port()
    s.sshd(
        "00-admin.conf", f"Port {port}\nMatch LocalPort {port}\n    ForceCommand internal-sftp\nMatch all\n"
    )
    assert "forcecommand internal-sftp" in effective(lport=port)
    assert "forcecommand none" in effective(lport=host.port)


@plant
def sshd_opts(host: Host, s: Steps) -> None:
    # An AuthorizedKeysCommand, as it was planted first, is taken back by the snippet's Match block by now.
    s.replace("/etc/default/ssh", "SSHD_OPTS=\n", 'SSHD_OPTS="-o PermitUserEnvironment=yes"\n')
    asked = [
        "/usr/sbin/sshd",
        "-T",
        "-C",
        "user=git,host=x,addr=192.0.2.1",
        "-o",
        "PermitUserEnvironment=yes",
    ]
    assert "permituserenvironment yes" in run(asked).out


@plant
def unit_preload(host: Host, s: Steps) -> None:
    uid = s.bob()
    s.mkdir("/home/bob/lib", 0o755, uid)
    s.write("/home/bob/lib/trace.so", "", uid=uid)
    s.write(
        "/etc/systemd/system/ssh.service.d/override.conf",
        "[Service]\nEnvironment=LD_PRELOAD=/home/bob/lib/trace.so\n",
    )


@plant
def other_unit(host: Host, s: Steps) -> None:
    s.write("/etc/ssh/keys/git", alice_pub(host))
    s.write("/etc/ssh/ops_config", f"Port {free_port()}\nUsePAM yes\nAuthorizedKeysFile /etc/ssh/keys/%u\n")
    s.write(
        "/etc/systemd/system/ssh-ops.service",
        "[Unit]\nDescription=sshd for operators\n[Service]\nExecStart=/usr/sbin/sshd -D -f /etc/ssh/ops_config\n[Install]\nWantedBy=multi-user.target\n",
    )
    wants = Path("/etc/systemd/system/multi-user.target.wants")
    made = not wants.exists()
    wants.mkdir(exist_ok=True)
    link = wants / "ssh-ops.service"
    link.symlink_to("/etc/systemd/system/ssh-ops.service")
    if made:
        s.later(wants.rmdir)
    s.later(link.unlink)
    run(["/usr/sbin/sshd", "-t", "-f", "/etc/ssh/ops_config"])


@plant
def include_of_bob(host: Host, s: Steps) -> None:
    uid = s.bob()
    s.mkdir("/srv/sshd", 0o755, uid)
    s.prepend("/etc/ssh/sshd_config", "Include /srv/sshd/*.conf\n")
    s.reload()
    run(["/usr/sbin/sshd", "-t"])


@plant
def rsa_only(host: Host, s: Steps) -> None:
    s.sshd("00-crypto.conf", "PubkeyAcceptedAlgorithms rsa-sha2-512,rsa-sha2-256\n")
    shut(host)


@plant
def revoked_missing(host: Host, s: Steps) -> None:
    s.sshd("60-revoked.conf", "RevokedKeys /etc/ssh/revoked.krl\n")
    shut(host)


@plant
def max_sessions(host: Host, s: Steps) -> None:
    s.sshd("60-max.conf", "MaxSessions 0\n")
    shut(host)


@plant
def host_keys_open(host: Host, s: Steps) -> None:
    for key in Path("/etc/ssh").glob("ssh_host_*_key"):
        s.mode(key, 0o644)
    assert run(["/usr/sbin/sshd", "-t"], status=None).status != 0


@plant
def allow_spawn(host: Host, s: Steps) -> None:
    uid = s.bob()
    s.script("/srv/visit/log", uid, body="touch /srv/visit/ran")
    s.write("/etc/hosts.allow", "sshd: ALL: spawn (/srv/visit/log %a) & : allow\n", append=True)
    opened(host)
    time.sleep(0.3)
    assert Path("/srv/visit/ran").exists()
    assert Path("/srv/visit/ran").stat().st_uid == 0


# -- key file ----------------------------------------------------------------------------------------
@plant
def fallback(host: Host, s: Steps) -> None:
    text = host.key_file.read_text()
    start = text.index('command="') + 9
    end = text.index('"', start)
    s.replace(
        host.key_file, text[start:end], text[start:end] + ' || exec git-shell -c \\"$SSH_ORIGINAL_COMMAND\\"'
    )
    s.require_all()
    host.admin("session", "revoke", "alice", "--reason", "lab")
    s.undos.insert(0, lambda: host.verify_by_recovery_code(host.people["alice"]))
    done = host.ssh(host.people["alice"], f"git-upload-pack '{host.repositories}/team/app.git'", stdin="0000")
    # git-shell continued behind the refusal: the flush packet of an empty repository's advertisement
    assert done.out.endswith("0000"), done.text
    assert "ERR" in done.out, done.text


@plant
def others_fingerprint(host: Host, s: Steps) -> None:
    second = host.key(f"second-{time.monotonic_ns()}")
    line = next(x for x in host.key_file.read_text().splitlines() if "command=" in x)
    head = line[: line.index(" ssh-ed25519 ")]
    s.write(host.key_file, head + " " + Path(f"{second.key}.pub").read_text(), append=True)
    done = host.git(second, "ls-remote", host.url("team/app"), status=None)
    assert done.status == 0, done.text


# -- PAM, account ------------------------------------------------------------------------------------
@plant
def pam_time(host: Host, s: Steps) -> None:
    s.write("/etc/security/time.conf", "sshd;*;git;!Al0000-2400\n", append=True)
    s.replace(
        "/etc/pam.d/sshd",
        "account    required     pam_nologin.so",
        "account    required     pam_nologin.so\naccount    required     pam_time.so",
    )
    shut(host)


@plant
def su_trust(host: Host, s: Steps) -> None:
    s.accounts()
    run(["groupadd", "developers"])
    uid = s.bob("developers")
    s.replace(
        "/etc/pam.d/su",
        "auth       sufficient pam_rootok.so",
        "auth       sufficient pam_rootok.so\nauth [success=ignore default=1] pam_succeed_if.so quiet user = git\nauth sufficient pam_succeed_if.so quiet use_uid user ingroup developers",
    )
    done = as_bob(uid, "su", "git", "-c", "id -un")
    assert done.out.strip() == "git", done.text


@plant
def empty_password(host: Host, s: Steps) -> None:
    uid = s.bob()
    run(["usermod", "-p", "", "git"])
    done = as_bob(uid, "su", "git", "-c", "id -un")
    assert done.out.strip() == "git", done.text


@plant
def pam_exec(host: Host, s: Steps) -> None:
    uid = s.bob()
    s.script("/srv/pam/notify", uid, body="touch /srv/pam/ran")
    s.write("/etc/pam.d/sshd", "session optional pam_exec.so seteuid /srv/pam/notify\n", append=True)
    opened(host)
    assert Path("/srv/pam/ran").stat().st_uid == 0


@plant
def expired(host: Host, s: Steps) -> None:
    s.accounts()
    run(["chage", "-E", "1", "git"])
    shut(host)


@plant
def no_logins(host: Host, s: Steps) -> None:
    s.write("/etc/security/limits.d/90-git.conf", "git hard maxlogins 0\n")
    shut(host)


@plant
def nologin_shell(host: Host, s: Steps) -> None:
    s.accounts()
    run(["usermod", "-s", "/usr/sbin/nologin", "git"])
    shut(host)


@plant
def nsswitch(host: Host, s: Steps) -> None:
    s.mode("/etc/nsswitch.conf", 0o666)


@plant
def group_admin(host: Host, s: Steps) -> None:
    uid = s.bob()
    run(["gpasswd", "-A", "bob", "git"])
    s.require_all()
    team = host.repositories / "team"
    for path in [team, *team.rglob("*")]:
        s.mode(path, (path.stat().st_mode & 0o7777) | (0o050 if path.is_dir() else 0o040))
    assert as_bob(uid, "gpasswd", "-a", "bob", "git").status == 0
    assert as_bob(uid, "cat", str(team / "app.git/HEAD")).out.startswith("ref:")
    run(["gpasswd", "-d", "bob", "git"])
    assert ":bob:" in next(x for x in Path("/etc/gshadow").read_text().splitlines() if x.startswith("git:"))


@plant
def disk_group(host: Host, s: Steps) -> None:
    s.bob("disk")


# -- local roads to the account ------------------------------------------------------------------------
@plant
def sudoers(host: Host, s: Steps) -> None:
    s.bob()
    s.write("/etc/sudoers.d/deploy", "bob ALL=(git) NOPASSWD: ALL\n", 0o440)
    s.write("/etc/sudoers", "root ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n", 0o440)


@plant
def polkit(host: Host, s: Steps) -> None:
    s.bob()
    s.write(
        "/etc/polkit-1/rules.d/40-ops.rules",
        'polkit.addRule(function(action, subject) {\n    if (action.id == "org.freedesktop.systemd1.manage-units" && subject.user == "bob") { return polkit.Result.YES; }\n});\n',
    )


@plant
def setuid_git(host: Host, s: Steps) -> None:
    uid = s.bob()
    s.mkdir("/opt/tools")
    place = Path("/opt/tools/git")
    source = s.write(
        str(host.folder / "wrap.c"),
        '#include <unistd.h>\nint main(int n, char **v) { setreuid(geteuid(), geteuid()); setregid(getegid(), getegid()); v[0] = "git"; execv("/usr/bin/git", v); return 1; }\n',
    )
    run(["gcc", "-o", str(place), str(source)])
    s.later(place.unlink)
    git = pwd.getpwnam("git")
    os.chown(place, git.pw_uid, git.pw_gid)
    place.chmod(0o6755)
    done = as_bob(
        uid, "/opt/tools/git", "--git-dir", str(host.repositories / "team/app.git"), "config", "core.bare"
    )
    assert done.out.strip() == "true", done.text


@plant
def capability(host: Host, s: Steps) -> None:
    uid = s.bob()
    place = Path("/usr/local/bin/python-backup")
    shutil.copy("/usr/bin/python3.11", place)
    s.later(place.unlink)
    run(["setcap", "cap_dac_read_search+ep", str(place)])
    done = as_bob(uid, str(place), "-c", "print(open('/var/lib/gitguard/secret.keys').read())")
    assert "aes" in done.out, done.text


@plant
def cron_of_bob(host: Host, s: Steps) -> None:
    uid = s.bob()
    s.script("/home/bob/bin/mirror", uid)
    s.write("/etc/cron.d/mirror", "*/5 * * * * git /home/bob/bin/mirror >/dev/null\n")


@plant
def unit_of_bob(host: Host, s: Steps) -> None:
    uid = s.bob()
    s.script("/home/bob/bin/mirror", uid)
    s.write(
        "/etc/systemd/system/mirror.service",
        "[Service]\nType=oneshot\nUser=git\nExecStart=/home/bob/bin/mirror\n",
    )
    s.write(
        "/etc/systemd/system/mirror.timer", "[Timer]\nOnCalendar=hourly\n[Install]\nWantedBy=timers.target\n"
    )


@plant
def staff(host: Host, s: Steps) -> None:
    uid = s.bob("staff")
    gid = run(["getent", "group", "staff"]).out.split(":")[2]
    s.mkdir("/usr/local/lib/python3.11/dist-packages", 0o2775, 0, int(gid))
    assert (
        as_bob(uid, "sh", "-c", "echo 'import os' > /usr/local/lib/python3.11/dist-packages/a.pth").status
        == 0
    )


@plant
def ld_conf(host: Host, s: Steps) -> None:
    uid = s.bob()
    s.mkdir("/srv/lib", 0o755, uid)
    shutil.copy(os.path.realpath("/lib/x86_64-linux-gnu/libz.so.1"), "/srv/lib/libz.so.1")
    run(["mount", "-t", "tmpfs", "none", "/var/cache/ldconfig"])
    s.later(lambda: run(["umount", "/var/cache/ldconfig"]))
    s.later(keep("/etc/ld.so.cache"))
    s.write("/etc/ld.so.conf.d/00-local.conf", "/srv/lib\n")
    run(["ldconfig", "-X"])
    assert "/srv/lib/libz" in run(["ldconfig", "-p"]).out


@plant
def stdlib_bound(host: Host, s: Steps) -> None:
    uid = s.bob()
    real = "/usr/lib/python3.11/encodings/__init__.py"
    copy = host.folder / "encodings.py"
    shutil.copy2(real, copy)
    s.later(copy.unlink)
    times = os.stat(real)
    os.chown(copy, uid, uid)
    run(["mount", "--bind", str(copy), real])
    s.later(lambda: run(["umount", real]))
    assert as_bob(uid, "sh", "-c", "echo 'import posix; posix.write(1, b\"4711\")' >> " + real).status == 0
    assert "4711" in run(["/usr/bin/python3.11", "-B", "-IS", "-c", ""]).out
    text = copy.read_text()
    copy.write_text(text[: text.index("import posix; posix.write")])
    os.utime(copy, ns=(times.st_atime_ns, times.st_mtime_ns))
    os.chown(copy, uid, uid)


# -- git ---------------------------------------------------------------------------------------------
@plant
def pack_hook(host: Host, s: Steps) -> None:
    uid = s.bob()
    s.script("/srv/cache/pack-objects", uid, body='touch /tmp/gitguard-lab-ran-pack; exec "$@"')
    s.write("/etc/gitconfig", "[uploadpack]\n\tpackObjectsHook = /srv/cache/pack-objects\n", append=True)
    clone_and_push(host, seed(host, s))
    Path("/tmp/gitguard-lab-ran-pack").unlink()  # it ran


@plant
def xdg_config(host: Host, s: Steps) -> None:
    s.mkdir(host.home / ".config/git", 0o777, pwd.getpwnam("git").pw_uid)
    os.chmod(host.home / ".config/git", 0o777)


@plant
def gpg_program(host: Host, s: Steps) -> None:
    uid = s.bob()
    s.script("/srv/tools/gpg", uid, body="touch /tmp/gitguard-lab-ran-gpg")
    s.write(
        "/etc/gitconfig",
        "[receive]\n\tcertNonceSeed = 3a1b\n[gpg]\n\tprogram = /srv/tools/gpg\n",
        append=True,
    )
    signer = s.write(
        str(host.folder / "signer"),
        "#!/bin/sh\ncat >/dev/null\nprintf '\\n[GNUPG:] SIG_CREATED x\\n' >&2\nprintf -- '-----BEGIN PGP SIGNATURE-----\\n\\nx\\n-----END PGP SIGNATURE-----\\n'\n",
        0o755,
    )
    done = clone_and_push(
        host,
        seed(host, s),
        "-c",
        f"gpg.program={signer}",
        "push",
        "--signed=yes",
        "origin",
        "HEAD:refs/heads/topic",
    )
    assert Path("/tmp/gitguard-lab-ran-gpg").exists(), done.text
    Path("/tmp/gitguard-lab-ran-gpg").unlink()


@plant
def tar_command(host: Host, s: Steps) -> None:
    uid = s.bob()
    s.script("/srv/tools/zst", uid, body="touch /tmp/gitguard-lab-ran-tar; exec cat")
    s.write("/etc/gitconfig", '[tar "tar.zst"]\n\tcommand = /srv/tools/zst\n\tremote = true\n', append=True)
    seed(host, s)
    done = host.git(
        host.people["alice"],
        "archive",
        f"--remote={host.url('team/app')}",
        "--format=tar.zst",
        "-o",
        "/dev/null",
        "main",
        status=None,
    )
    assert Path("/tmp/gitguard-lab-ran-tar").exists(), done.text
    Path("/tmp/gitguard-lab-ran-tar").unlink()


@plant
def post_receive_of_bob(host: Host, s: Steps) -> None:
    uid = s.bob()
    clone = seed(host, s)
    s.script("/home/bob/bin/deploy", uid, body="touch /tmp/gitguard-lab-ran-post")
    link = host.repositories / "team/app.git/hooks/post-receive"
    link.symlink_to("/home/bob/bin/deploy")
    git = pwd.getpwnam("git")
    os.lchown(link, git.pw_uid, git.pw_gid)
    done = clone_and_push(host, clone)
    assert Path("/tmp/gitguard-lab-ran-post").exists(), done.text
    Path("/tmp/gitguard-lab-ran-post").unlink()


@plant
def borrower(host: Host, s: Steps) -> None:
    s.require_all()
    host.admin("repo", "create", "public")
    path = host.repositories / "public.git"

    def undo() -> None:
        shutil.rmtree(path)
        host.admin("repo", "forget", "public", status=None)

    s.later(undo)
    host.as_account(
        "sh", "-c", f"echo {host.repositories}/team/app.git/objects > {path}/objects/info/alternates"
    )
    blob = host.as_account(
        "sh", "-c", f"echo secret | git -C {host.repositories}/team/app.git hash-object -w --stdin"
    ).out.strip()
    s.later(lambda: shutil.rmtree(host.repositories / f"team/app.git/objects/{blob[:2]}"))
    assert host.as_account("git", "-C", str(path), "cat-file", "-p", blob).out == "secret\n"


@plant
def default_acl(host: Host, s: Steps) -> None:
    uid = s.bob()
    place = str(host.repositories / "team")

    def acl(*entries: tuple[int, int, int]) -> bytes:
        return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)

    before = os.stat(place).st_mode & 0o7777
    os.setxattr(
        place,
        "system.posix_acl_access",
        acl((1, 7, NO_ID), (2, 1, uid), (4, 0, NO_ID), (16, 1, NO_ID), (32, 0, NO_ID)),
    )
    s.later(lambda: os.chmod(place, before))
    s.later(lambda: os.removexattr(place, "system.posix_acl_access"))
    os.setxattr(
        place,
        "system.posix_acl_default",
        acl((1, 7, NO_ID), (2, 7, uid), (4, 0, NO_ID), (16, 7, NO_ID), (32, 0, NO_ID)),
    )
    s.later(lambda: os.removexattr(place, "system.posix_acl_default"))
    git = pwd.getpwnam("git")
    probe = Path(place) / "probe"
    probe.mkdir(0o777)
    os.chown(probe, git.pw_uid, git.pw_gid)
    assert as_bob(uid, "touch", str(probe / "x")).status == 0
    shutil.rmtree(probe)


# -- reads, exports ------------------------------------------------------------------------------------
@plant
def bind_mount(host: Host, s: Steps) -> None:
    uid = s.bob()
    s.require_all()
    app = host.repositories / "team/app.git"
    for path in [app, *app.rglob("*")]:
        s.mode(path, (path.stat().st_mode & 0o7777) | (0o055 if path.is_dir() else 0o044))
    s.mkdir("/srv/pub/app.git")
    run(["mount", "--bind", str(app), "/srv/pub/app.git"])
    s.later(lambda: run(["umount", "/srv/pub/app.git"]))
    done = as_bob(uid, "cat", "/srv/pub/app.git/HEAD")
    assert done.out.startswith("ref:"), done.text


@plant
def copy_of_state(host: Host, s: Steps) -> None:
    uid = s.bob()
    run(["cp", "-a", "/var/lib/gitguard", "/var/lib/gitguard.bak"])
    s.later(lambda: shutil.rmtree("/var/lib/gitguard.bak"))
    run(["chmod", "-R", "a+rX", "/var/lib/gitguard.bak"])
    assert "aes" in as_bob(uid, "cat", "/var/lib/gitguard.bak/secret.keys").out


@plant
def tmpfiles(host: Host, s: Steps) -> None:
    s.write("/etc/tmpfiles.d/git.conf", "Z /var/lib/gitguard 0777 git git -\n")


@plant
def nfs_parent(host: Host, s: Steps) -> None:
    s.write("/etc/exports", "/home 10.0.0.0/8(rw,no_root_squash,no_subtree_check)\n")


@plant
def smb_parent(host: Host, s: Steps) -> None:
    s.write(
        "/etc/samba/smb.conf",
        "[global]\n  workgroup = WORK\n[all]\n  path = /home\n  guest ok = yes\n  force user = git\n  read only = no\n",
    )


@plant
def runit_daemon(host: Host, s: Steps) -> None:
    s.write(
        "/etc/sv/git-daemon/run",
        "#!/bin/sh\nexec chpst -ugit git daemon --verbose --export-all --base-path=/home/git/repositories /home/git/repositories\n",
        0o755,
    )
    made = not Path("/etc/service").exists()
    Path("/etc/service").mkdir(exist_ok=True)
    link = Path("/etc/service/git-daemon")
    link.symlink_to("/etc/sv/git-daemon")
    if made:
        s.later(Path("/etc/service").rmdir)
    s.later(link.unlink)


@plant
def http_server(host: Host, s: Steps) -> None:
    s.require_all()
    port = free_port()
    s.start(
        [
            "setpriv",
            "--reuid=git",
            "--regid=git",
            "--init-groups",
            "/usr/bin/python3",
            "-m",
            "http.server",
            "--bind",
            "127.0.0.1",
            str(port),
        ],
        cwd=host.repositories,
    )
    import urllib.request

    for _ in range(20):
        try:
            got = (
                urllib.request.build_opener(urllib.request.ProxyHandler({}))
                .open(f"http://127.0.0.1:{port}/team/app.git/HEAD", timeout=5)
                .read()
            )
            break
        except OSError:
            time.sleep(0.2)
    assert got.startswith(b"ref:")


# -- others ------------------------------------------------------------------------------------------
@plant
def home_noexec(host: Host, s: Steps) -> None:
    run(["mount", "-o", "remount,noexec", "/home"])
    s.later(lambda: run(["mount", "-o", "remount,exec", "/home"]))
    assert not os.access(host.repositories / "team/app.git/hooks/pre-receive", os.X_OK)


@plant
def lib_noexec(host: Host, s: Steps) -> None:
    run(["mount", "-o", "remount,noexec", "/usr/local/lib"])
    s.later(lambda: run(["mount", "-o", "remount,exec", "/usr/local/lib"]))
    shut(host)


@plant
def open_enrolment(host: Host, s: Steps) -> None:
    s.config(
        'enforcement = "opt-in"\n', 'enforcement = "opt-in"\n\n[second_factor]\nself_enrolment = "open"\n'
    )
    person = host.key(f"carol-{time.monotonic_ns()}")
    host.admin("user", "add", "carol", "--key", f"{person.key}.pub")
    s.later(lambda: host.admin("user", "remove", "carol", "--yes", status=None))
    done = host.ssh(person, "2fa enroll", stdin="\n")
    assert "otpauth" in done.text.lower() or "secret" in done.text.lower() or "app" in done.text.lower(), (
        done.text
    )


@plant
def notify_of_bob(host: Host, s: Steps) -> None:
    uid = s.bob()
    s.script("/home/bob/bin/mail", uid)
    s.config(
        'enforcement = "opt-in"\n', 'enforcement = "opt-in"\n\n[notify]\ncommand = ["/home/bob/bin/mail"]\n'
    )


@plant
def logrotate(host: Host, s: Steps) -> None:
    s.write(
        "/etc/logrotate.d/gitguard",
        "/var/log/gitguard/*.log {\n  weekly\n  rotate 4\n  missingok\n  create 0640 root adm\n}\n",
    )


@plant
def hooks_of_bob(host: Host, s: Steps) -> None:
    uid = s.bob()
    hooks = host.repositories / "team/app.git/hooks"
    shutil.copytree(hooks, "/srv/hooks")
    s.later(lambda: shutil.rmtree("/srv/hooks"))
    os.chown("/srv/hooks", uid, uid)
    os.chmod("/srv/hooks", 0o755)
    git = pwd.getpwnam("git")
    os.chown("/srv/hooks/pre-receive", git.pw_uid, git.pw_gid)
    hooks.rename(f"{hooks}.away")
    hooks.symlink_to("/srv/hooks")
    s.later(lambda: Path(f"{hooks}.away").rename(hooks))
    s.later(hooks.unlink)


GAPS: list[tuple[str, Plant, str]] = [
    (
        "earlier drop-in: from 192.168/16 sshd reads another key file with a plain key",
        match_address,
        r"sshd|match|authorizedkeysfile|192\.168|/etc/ssh/keys",
    ),
    (
        "earlier drop-in: on a second port ForceCommand internal-sftp instead of the gate",
        match_port_sftp,
        r"sshd|forcecommand|match|localport|sftp",
    ),
    ("/etc/default/ssh: SSHD_OPTS lets key lines set variables", sshd_opts, r"sshd|default/ssh|SSHD_OPTS"),
    (
        "ssh.service.d drop-in: LD_PRELOAD from bob's folder into sshd",
        unit_preload,
        r"preload|ssh\.service|unit|override",
    ),
    (
        "a second sshd unit, enabled, with its own configuration and plain key file",
        other_unit,
        r"ssh-ops|ops_config|sshd|unit",
    ),
    (
        "sshd_config includes /srv/sshd/*.conf, a folder of bob's (still empty)",
        include_of_bob,
        r"include|/srv/sshd|sshd",
    ),
    (
        "sshd accepts RSA keys only: all ed25519 keys are shut out",
        rsa_only,
        r"pubkeyaccepted|algorithm|sshd|ed25519",
    ),
    ("RevokedKeys names a missing file: all keys are refused", revoked_missing, r"revoked|sshd"),
    ("MaxSessions 0: every command of everybody is refused", max_sessions, r"maxsessions|sshd|session"),
    (
        "sshd's host keys are mode 644: sshd does not start any more",
        host_keys_open,
        r"host.?key|ssh_host|sshd",
    ),
    (
        "hosts.allow spawns a script of bob's as root at each connection",
        allow_spawn,
        r"hosts\.allow|spawn|/srv/visit|wrappers",
    ),
    (
        "key line: `gate || exec git-shell` as a fallback: a refusal goes on to Git",
        fallback,
        r"key.?file|authorized_keys|line|ungated|command",
    ),
    (
        "a second key's line names the first key's fingerprint: it rides on that session",
        others_fingerprint,
        r"key.?file|authorized_keys|fingerprint|line|SHA256",
    ),
    ("pam.d/su lets members of `developers` become git without a password", su_trust, r"pam|su\b|become"),
    (
        "git has an empty password: `su git` for every local account (nullok)",
        empty_password,
        r"password|shadow|su\b",
    ),
    ("pam.d/sshd runs a script of bob's as root (pam_exec)", pam_exec, r"pam|/srv/pam"),
    ("the account git has expired (chage -E)", expired, r"expir|account|shadow|pam"),
    ("limits.d: git maxlogins 0: every login refused", no_logins, r"limit|maxlogins|pam"),
    ("git's shell is /usr/sbin/nologin", nologin_shell, r"shell|nologin"),
    ("/etc/nsswitch.conf is mode 666", nsswitch, r"nsswitch"),
    (
        "bob is administrator of group git in gshadow; the repositories are group-readable, reading demands 2FA",
        group_admin,
        r"gshadow|group|administ",
    ),
    ("bob is in group disk (raw devices: every secret, every repository)", disk_group, r"disk|bob|group"),
    ("sudoers.d: bob may run anything as git without a password", sudoers, r"sudo"),
    ("polkit rule: bob may start and write systemd units", polkit, r"polkit|40-ops"),
    ("a setuid-git wrapper of git in /opt/tools", setuid_git, r"setuid|suid|/opt/tools"),
    ("a python with cap_dac_read_search in /usr/local/bin", capability, r"capab|cap_|python-backup"),
    ("cron.d runs a script of bob's as git", cron_of_bob, r"cron|/home/bob"),
    ("a systemd timer runs a script of bob's as git", unit_of_bob, r"mirror|unit|systemd|/home/bob"),
    (
        "bob is in staff, and /usr/local/lib/python3.11/dist-packages is staff's (2775): .pth runs as root and git",
        staff,
        r"staff|dist-packages|/usr/local/lib|python",
    ),
    (
        "ld.so.conf.d names /srv/lib, a folder of bob's, in ld.so.cache",
        ld_conf,
        r"ld\.so|/srv/lib|librar|loader",
    ),
    (
        "bind mount: Python's encodings/__init__.py (read at each start of gate and hook) is a file of bob's",
        stdlib_bound,
        r"encodings|python|code|/usr/lib/python3",
    ),
    (
        "/etc/gitconfig: uploadpack.packObjectsHook is a program of bob's",
        pack_hook,
        r"packobjectshook|git.?config|/srv/cache",
    ),
    (
        "/etc/gitconfig: gpg.program of bob's, run for signed pushes",
        gpg_program,
        r"gpg|git.?config|/srv/tools",
    ),
    (
        "/etc/gitconfig: tar.tar.zst.command of bob's, run for git archive --remote",
        tar_command,
        r"tar|git.?config|/srv/tools",
    ),
    (
        "hooks/post-receive is a link to a script of bob's",
        post_receive_of_bob,
        r"post-receive|hook|/home/bob",
    ),
    (
        "default ACL on the namespace: bob may write whatever is made there",
        default_acl,
        r"acl|team|file-mode|closed|write|open",
    ),
    (
        "bind mount of the repository below /srv/pub: readable there, reading demands 2FA",
        bind_mount,
        r"mount|/srv/pub|read",
    ),
    (
        "/var/lib/gitguard.bak: a world-readable copy of store and key file",
        copy_of_state,
        r"gitguard\.bak|copy|backup|secret",
    ),
    ("/etc/exports: NFS exports /home with no_root_squash", nfs_parent, r"export|nfs"),
    ("/home is mounted noexec: Git skips every hook", home_noexec, r"noexec|mount|hook"),
]
EXTRA: list[tuple[str, Plant, str]] = [
    (
        "(turned out to be held by the gate itself) a repository that demands nothing borrows the objects of one that demands reading 2FA",
        borrower,
        r"alternate|borrow|public",
    ),
    ("pam_time shuts git out at every hour", pam_time, r"pam|time"),
    (
        "~git/.config/git is mode 777: anybody writes git's global configuration",
        xdg_config,
        r"\.config|git.?config|home",
    ),
    ("tmpfiles.d opens /var/lib/gitguard to all at the next boot", tmpfiles, r"tmpfiles|/var/lib/gitguard"),
    ("smb.conf: share of /home, guests, force user git", smb_parent, r"samba|smb|export"),
    ("runit: git daemon over the repositories", runit_daemon, r"daemon|runit|/etc/sv|export|service"),
    (
        "a python http.server of git's serves the repositories; reading demands 2FA",
        http_server,
        r"http|listen|process|python|daemon|export|serve",
    ),
    ("/usr/local/lib is mounted noexec: the gate cannot start", lib_noexec, r"noexec|mount|launcher|gate"),
    (
        "self_enrolment = open and a user without a factor: whoever has the key enrols",
        open_enrolment,
        r"enrol",
    ),
    ("[notify] command is a program of bob's", notify_of_bob, r"notify|/home/bob"),
    (
        "logrotate makes the access log root's next week: everybody is refused",
        logrotate,
        r"logrotate|rotat|log",
    ),
    ("hooks is a link to a folder of bob's that holds the right pre-receive", hooks_of_bob, r"hook"),
]


# -- healthy -----------------------------------------------------------------------------------------
@plant
def h_staff(host: Host, s: Steps) -> None:
    gid = int(run(["getent", "group", "staff"]).out.split(":")[2])
    s.write("/etc/staff-group-for-usr-local", "")
    s.mkdir("/usr/local/lib/python3.11/dist-packages", 0o2775, 0, gid)
    before = os.stat("/usr/local/lib")
    os.chown("/usr/local/lib", 0, gid)
    os.chmod("/usr/local/lib", 0o2775)
    s.later(lambda: os.chmod("/usr/local/lib", before.st_mode & 0o7777))
    s.later(lambda: os.chown("/usr/local/lib", 0, before.st_gid))


@plant
def h_hosts_deny(host: Host, s: Steps) -> None:
    s.write("/etc/hosts.deny", "sshd: 203.0.113.0/255.255.255.0\nrpcbind: ALL\n", append=True)


@plant
def h_hardened(host: Host, s: Steps) -> None:
    s.sshd(
        "60-hardening.conf",
        "PermitRootLogin prohibit-password\nMaxAuthTries 3\nLoginGraceTime 30\nLogLevel VERBOSE\nX11Forwarding no\nAllowGroups git adm\nClientAliveInterval 60\nPubkeyAcceptedAlgorithms ssh-ed25519,sk-ssh-ed25519@openssh.com,rsa-sha2-512,rsa-sha2-256\n",
    )


@plant
def h_sftp(host: Host, s: Steps) -> None:
    s.accounts()
    run(["groupadd", "sftponly"])
    s.bob("sftponly")
    s.mkdir("/srv/sftp/bob")
    s.sshd(
        "70-sftp.conf",
        "Match Group sftponly\n    ChrootDirectory /srv/sftp/%u\n    ForceCommand internal-sftp\n    AllowTcpForwarding no\n    PasswordAuthentication yes\nMatch all\n",
    )


@plant
def h_home_mode(host: Host, s: Steps) -> None:
    s.mode("/home", 0o711)
    s.mode(host.home, 0o700)
    s.mode(host.repositories, 0o750)


@plant
def h_gitconfig(host: Host, s: Steps) -> None:
    s.write("/etc/git/common.inc", "[alias]\n\tst = status\n[core]\n\tpager = less\n")
    s.write(
        "/etc/gitconfig",
        "[init]\n\tdefaultBranch = main\n[safe]\n\tdirectory = /srv/www\n[gc]\n\tauto = 6700\n[transfer]\n\tfsckObjects = true\n[include]\n\tpath = /etc/git/common.inc\n",
        append=True,
    )
    git = pwd.getpwnam("git").pw_uid
    s.write(host.home / ".gitconfig", "[user]\n\tname = Git\n\temail = git@example.com\n", uid=git)


@plant
def h_logrotate_backup(host: Host, s: Steps) -> None:
    s.write("/etc/logrotate.d/gitguard", (SOURCE / "etc/logrotate.gitguard").read_text())
    s.mkdir("/srv/backup", 0o700)
    host.admin("store", "backup", "/srv/backup/gitguard-2026-01-01.db")
    s.write(
        "/etc/cron.d/gitguard-backup",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin\n23 2 * * * root /usr/bin/python3.11 -I -m gitguard --config /etc/gitguard/gitguard.toml admin store backup /srv/backup/gitguard-$(date +\\%F).db\n17 6 * * * root /usr/bin/python3.11 -I -m gitguard --config /etc/gitguard/gitguard.toml admin doctor --quiet\n",
    )


@plant
def h_ops(host: Host, s: Steps) -> None:
    uid = s.bob("adm", "users")
    s.mkdir("/home/bob/.ssh", 0o700, uid)
    other = host.key(f"bob-{time.monotonic_ns()}")
    s.write("/home/bob/.ssh/authorized_keys", Path(f"{other.key}.pub").read_text(), 0o600, uid)
    s.write("/home/bob/.local/bin/tool", "#!/bin/sh\n", 0o755, uid)
    s.write(
        "/etc/sudoers",
        'Defaults env_reset\nDefaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"\nroot ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n',
        0o440,
    )
    s.write("/etc/cron.d/bob", "*/10 * * * * bob /home/bob/.local/bin/tool\n")


@plant
def h_web(host: Host, s: Steps) -> None:
    s.accounts()
    if not run(["getent", "passwd", "www-data"], status=None).out:
        run(["useradd", "--system", "www-data"])
    for unit in Path("/etc/gitguard/systemd").glob("gitguard-*"):
        s.write(f"/etc/systemd/system/{unit.name}", unit.read_text())
    s.write(
        "/etc/nginx/sites-enabled/git",
        "server {\n listen 443 ssl;\n server_name git.example.com;\n root /var/www/html;\n include /etc/nginx/gitguard.conf;\n}\n",
    )
    s.write("/etc/nginx/gitguard.conf", (SOURCE / "etc/nginx/gitguard.conf").read_text())
    s.config('name = "127.0.0.1"\n', 'name = "127.0.0.1"\nweb_url = "https://git.example.com/2fa"\n')
    s.config(
        'enforcement = "opt-in"\n', 'enforcement = "opt-in"\n\n[web]\ntrusted_proxies = ["unix:www-data"]\n'
    )


@plant
def h_pam_access(host: Host, s: Steps) -> None:
    s.write(
        "/etc/security/access.conf",
        "+ : root : LOCAL\n+ : git : ALL\n+ : (adm) : ALL\n- : ALL : ALL\n",
        append=True,
    )
    s.replace(
        "/etc/pam.d/sshd", "# account  required     pam_access.so", "account  required     pam_access.so"
    )
    s.write("/etc/pam.d/sshd", "session optional pam_umask.so umask=027\n", append=True)
    s.write(
        "/etc/security/limits.d/90-server.conf",
        "* soft nofile 65536\n* hard nofile 65536\ngit hard nproc 4096\n* hard core 0\n",
    )


@plant
def h_mounts_services(host: Host, s: Steps) -> None:
    run(["mount", "-o", "remount,nosuid,nodev", "/home"])
    s.later(lambda: run(["mount", "-o", "remount,suid,dev", "/home"]))
    s.mkdir("/srv/pub")
    s.write("/etc/exports", "/srv/pub 10.0.0.0/8(ro,root_squash,no_subtree_check)\n")
    s.write("/etc/rsyncd.conf", "uid = nobody\n[pub]\n  path = /srv/pub\n  read only = yes\n")
    # Debian's own smb.conf, its [homes] included
    s.write(
        "/etc/samba/smb.conf",
        "[global]\n   workgroup = WORKGROUP\n   server role = standalone server\n   map to guest = bad user\n[homes]\n   comment = Home Directories\n   browseable = no\n   read only = yes\n   create mask = 0700\n   directory mask = 0700\n   valid users = %S\n[printers]\n   path = /var/tmp\n   printable = yes\n",
    )


@plant
def h_shared_group(host: Host, s: Steps) -> None:
    git = pwd.getpwnam("git")
    app = host.repositories / "team/app.git"
    s.later(keep(app / "config"))
    host.as_account("git", "-C", str(app), "config", "core.sharedRepository", "group")
    for path in [host.repositories / "team", app, app / "objects", app / "refs"]:
        s.mode(path, 0o2770)
    git_hook = app / "hooks/post-update"
    s.write(git_hook, "#!/bin/sh\nexec git update-server-info\n", 0o755, git.pw_uid)


@plant
def h_group_read(host: Host, s: Steps) -> None:
    """A backup program's account may read what requires 2FA for pushes alone."""
    s.accounts()
    run(["useradd", "--system", "backup-reader"])
    run(["usermod", "-aG", "git", "backup-reader"])
    s.mode(host.repositories / "team", 0o750)
    s.mode(host.repositories / "team/app.git", 0o750)


HEALTHY: list[tuple[str, Plant]] = [
    ("Debian's /usr/local/lib of root:staff 2775, nobody in staff", h_staff),
    ("hosts.deny bans one network", h_hosts_deny),
    ("usual hardening of sshd, AllowGroups with git in it", h_hardened),
    ("chrooted sftp for another group, in a later drop-in", h_sftp),
    ("/home 711, ~git 700, repositories 750", h_home_mode),
    ("/etc/gitconfig and ~/.gitconfig with harmless settings and an include of root's", h_gitconfig),
    ("logrotate as shipped, backups in a 700 folder, cron lines for doctor and backup", h_logrotate_backup),
    ("an ordinary admin bob: key, adm, Debian's sudoers, a cron job of his own", h_ops),
    ("web page behind nginx as the docs say, all units of gitguard's installed", h_web),
    ("pam_access that lets git in, pam_umask, limits.d with usual numbers", h_pam_access),
    (
        "/home nosuid,nodev; exports/rsyncd of another folder; Debian's smb.conf with [homes]",
        h_mounts_services,
    ),
    ("core.sharedRepository group with 2770, nobody else in git's group; a post-update hook", h_shared_group),
    ("a backup account in git's group that may read (not write); pushes alone demand 2FA", h_group_read),
]


# What doctor does not name, and why.
NOT_NAMED = {
    "polkit": "rules of polkit are programs; doctor says that it does not read them",
    "borrower": "the gate asks for what the lender demands; a note",
    "open_enrolment": "as the admin chose; a note",
}
STRICT = {
    "h_shared_group": "the gate refuses such a repository, too",
    "h_group_read": "whatever the account makes is its group's; on purpose strict",
}


def seen(host: Host) -> dict[str, dict[str, str]]:
    """What doctor finds but for what is in order, by name and words, numbers left out."""
    return {
        f"{found['level']} {found['name']} {re.sub('[0-9]+', '0', found['what'])}": found
        for found in findings(host)
        if found["level"] != "ok"
    }


def main() -> int:
    """Plant each, look, take it back; 1 if one is not named, or a healthy one is."""
    inside("lab.strangers")
    wanted = sys.argv[1:]
    host, bad = healthy(), 0
    try:
        before = seen(host)
        rows = [*GAPS, *EXTRA, *((what, plant, "") for what, plant in HEALTHY)]
        for what, planted, pattern in rows:
            name = planted.__name__
            if wanted and name not in wanted:
                continue
            undo = planted(host)
            try:
                new = [
                    found
                    for key, found in seen(host).items()
                    if key not in before and found["level"] == "gap"
                ]
            finally:
                undo()
            if pattern:
                hits = [
                    f["name"] for f in new if re.search(pattern, f"{f['name']} {f['what']}", re.IGNORECASE)
                ]
                wrong = not hits and name not in NOT_NAMED
                said = (
                    ", ".join(dict.fromkeys(hits)) or f"NOT NAMED ({NOT_NAMED.get(name, 'and it should be')})"
                )
            else:
                wrong = bool(new) and name not in STRICT
                said = f"{new[0]['name']} ({STRICT.get(name, 'FALSE ALARM')})" if new else "silent"
            bad += wrong
            print(f"{name:<22} {what[:80]:<80} {said}", flush=True)
        after = seen(host)
        print(f"{'healthy again':<103} {[key for key in after if key not in before] or 'silent'}")
    finally:
        host.stop()
    print(f"{len(rows)} planted; {bad} lines are not as they should be")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
