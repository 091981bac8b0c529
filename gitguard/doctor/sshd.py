"""sshd's effective configuration for the Git account: what could act before the gate, or beside it.

Source: sshd(8) -T, sshd_config(5). `read` runs before the uid is given up, since sshd wants its host keys.
"""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import grp
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator

from msgspec import Struct, field

from gitguard.doctor.finding import Finding, gap, note, ok
from gitguard.host.install import IDLE_TIMEOUT_SINCE

SEARCH_PATH = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin:/usr/local/bin"
CA_ORDER_FIXED = (
    9,
    4,
)  # before it, AuthorizedKeysCommand ahead of AuthorizedPrincipalsCommand drops the latter
DEFAULT_CONFIG = "/etc/ssh/sshd_config"

# keyword -> (the only value that is safe, what another one opens)
_MUST_BE = {
    "permittty": ("no", "a terminal can be asked for"),
    "permituserrc": ("no", "~/.ssh/rc runs before the gate"),
    "disableforwarding": ("yes", "a key line without `restrict` may forward ports past the gate"),
    "permituserenvironment": ("no", "key lines may set LD_PRELOAD and the like"),
    "passwordauthentication": ("no", "a password logs in without any key line"),
    "kbdinteractiveauthentication": ("no", "a prompt logs in without any key line"),
    "hostbasedauthentication": ("no", "another host's word logs in"),
    "gssapiauthentication": ("no", "a Kerberos ticket logs in"),
    "trustedusercakeys": ("none", "a certificate logs in without any key line"),
    "authorizedkeyscommand": ("none", "another program names keys"),
    "authorizedprincipalscommand": ("none", "another program names principals"),
    "forcecommand": ("none", "another command runs instead of the gate"),
}
# Under `AuthenticationMethods publickey` none of these logs anyone in by itself.
_MOOT_BY_METHODS = (
    "passwordauthentication",
    "kbdinteractiveauthentication",
    "hostbasedauthentication",
    "gssapiauthentication",
)
_HARMLESS_VARIABLES = re.compile(r"GIT_PROTOCOL|LANG|LC_\*|LC_[A-Z]+|COLORTERM|NO_COLOR")


class Sshd(Struct, frozen=True):
    """What `sshd -T` said: keyword -> values. `fault` says why it could not be asked."""

    fault: str = ""
    account: str = ""
    version: tuple[int, int] = (0, 0)
    values: dict[str, list[str]] = field(default_factory=dict)
    text: str = ""
    files: tuple[str, ...] = ()

    def one(self, keyword: str, default: str) -> str:
        """The value of a keyword that has one."""
        return self.values.get(keyword, [default])[0]


def read(account: str, config: str | None, port: int = 22) -> Sshd:
    """Ask sshd for its effective configuration for `account`, from `config` or its own default."""
    program = shutil.which("sshd", path=SEARCH_PATH)
    if program is None:
        return Sshd("sshd was not found on this machine")
    chosen = ["-f", config] if config else []
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # Debian's sshd refuses even -T without it
    done = subprocess.run(
        [program, "-T", *chosen, "-C", f"user={account},host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport={port}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        return Sshd(f"sshd -T failed: {done.stderr.strip()[:200]}")
    values: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        keyword, _, value = line.partition(" ")
        values.setdefault(keyword, []).append(value)
    told = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", told)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    files: list[str] = []
    text = "\n".join(_with_includes(config or DEFAULT_CONFIG, files))
    return Sshd("", account, version, values, text, tuple(files))


def _with_includes(path: str, files: list[str], depth: int = 0) -> list[str]:
    """The lines of a configuration and of what it includes; an unreadable file is one line that says so."""
    files.append(path)
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return [f"Match unreadable {path}"]
    found = []
    for line in lines:
        words = line.replace("=", " ", 1).split()
        if words and words[0].lower() == "include" and depth < 8:
            for pattern in words[1:]:
                whole = pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"
                for included in sorted(glob.glob(whole.strip('"'))):
                    found += _with_includes(included, files, depth + 1)
        else:
            found.append(line)
    return found


def key_files(sshd: Sshd, home: str, account: str, uid: int) -> list[str]:
    """The key files that sshd reads for the account, with its tokens filled in; unknown tokens stay."""
    tokens = {"%%": "%", "%h": home, "%u": account, "%U": str(uid)}
    found = []
    for word in sshd.one("authorizedkeysfile", ".ssh/authorized_keys .ssh/authorized_keys2").split():
        if word != "none":
            path = re.sub("%.", lambda token: tokens.get(token[0], token[0]), word)
            found.append(path if path.startswith("/") else f"{home}/{path}")
    return found


def _other_matches(text: str) -> list[str]:
    """Match lines whose blocks `sshd -T` was not asked about: by address, port, host, or a file not read."""
    found = []
    for line in text.splitlines():
        words = line.replace("=", " ", 1).split()
        if words and words[0].lower() == "match":
            criteria = {word.lower() for word in words[1::2]}
            if not criteria <= {"user", "group", "all"}:
                found.append(" ".join(words))
    return found


def findings(sshd: Sshd, snippet: str) -> Iterator[Finding]:
    """Everything about sshd."""
    remedy = f"put {snippet} into sshd's configuration (gitguard admin init --drop-in), and reload sshd"
    if sshd.fault:
        yield gap("sshd-not-read", sshd.fault, "run doctor as root, or name the file with --sshd-config")
        return
    only_keys = sshd.one("authenticationmethods", "any") == "publickey"
    for keyword, (safe, opens) in _MUST_BE.items():
        value = sshd.one(keyword, safe)
        if value != safe and not (only_keys and keyword in _MOOT_BY_METHODS):
            yield gap(f"sshd-{keyword}", f"{keyword} is {value}: {opens}", remedy)
        else:
            moot = "" if value == safe else ", which AuthenticationMethods publickey makes moot"
            yield ok(f"sshd-{keyword}", f"{keyword} {value}{moot}")
    for line in _other_matches(sshd.text):
        yield gap(
            "sshd-match",
            f"`{line}`: what this block says for other connections was not looked at",
            "match by User alone, or see to it that the block opens nothing for the account",
        )
    if "%" in sshd.one("authorizedkeysfile", "").replace("%%", "").replace("%h", "").replace(
        "%u", ""
    ).replace("%U", ""):
        yield gap("sshd-key-file", "AuthorizedKeysFile has a token that doctor does not know", remedy)
    names = " ".join(sshd.values.get("acceptenv", [])).split()
    generous = [name for name in names if not _HARMLESS_VARIABLES.fullmatch(name)]
    if generous:
        yield gap(
            "sshd-acceptenv",
            f"clients may set {' '.join(generous)}, some of which act before any gate",
            remedy,
        )
    elif "GIT_PROTOCOL" not in names:
        yield gap(
            "sshd-acceptenv", "GIT_PROTOCOL is not accepted, so clients fall back to protocol v0", remedy
        )
    else:
        yield ok("sshd-acceptenv", f"acceptenv {' '.join(names)}")
    yield from _closed_findings(sshd)
    if sshd.version >= IDLE_TIMEOUT_SINCE and "session" not in sshd.one("channeltimeout", "none"):
        yield note(
            "sshd-channeltimeout",
            "sshd ends no idle channel by itself, so the sweep alone ends what is parked",
            remedy,
        )
    if sshd.one("strictmodes", "yes") != "yes":
        yield gap(
            "sshd-strictmodes",
            "StrictModes is no: sshd believes key files that others may write",
            "set StrictModes yes",
        )
    if sshd.version < CA_ORDER_FIXED and _commands_in_bad_order(sshd.text):
        yield gap(
            "sshd-certificate-commands",
            "AuthorizedKeysCommand stands before AuthorizedPrincipalsCommand: this OpenSSH drops forced commands of certificates",
            "put AuthorizedPrincipalsCommand first, or upgrade to OpenSSH 9.4",
        )


def _closed_findings(sshd: Sshd) -> Iterator[Finding]:
    """What keeps everybody out, although the gate is right."""
    account = sshd.account
    groups = {g.gr_name for g in grp.getgrall() if account in g.gr_mem}
    with contextlib.suppress(KeyError):
        groups.add(grp.getgrgid(pwd.getpwnam(account).pw_gid).gr_name)
    for keyword, names, allows in (
        ("allowusers", {account}, True), ("denyusers", {account}, False),
        ("allowgroups", groups, True), ("denygroups", groups, False),
    ):  # fmt: skip
        patterns = " ".join(sshd.values.get(keyword, [])).split()
        hit = any(
            fnmatch.fnmatchcase(name, pattern.partition("@")[0]) for name in names for pattern in patterns
        )
        if patterns and hit != allows:
            yield gap(
                f"sshd-{keyword}",
                f"{keyword} {' '.join(patterns)} keeps {account} out",
                f"change {keyword} in sshd's configuration",
            )
    for keyword, bad in (("pubkeyauthentication", "no"), ("maxsessions", "0")):
        if sshd.one(keyword, "") == bad:
            yield gap(
                f"sshd-{keyword}",
                f"{keyword} is {bad}: no key gets in",
                f"change {keyword} in sshd's configuration",
            )
    if account == "root" and sshd.one("permitrootlogin", "yes") == "no":
        yield gap(
            "sshd-permitrootlogin",
            "PermitRootLogin is no, and the Git account is root",
            "use an account of its own",
        )
    types = sshd.one("pubkeyacceptedalgorithms", "ssh-ed25519")
    if "ssh-ed25519" not in types and "ecdsa" not in types and "rsa-sha2" not in types:
        yield gap(
            "sshd-pubkeyacceptedalgorithms",
            f"sshd takes keys of these types alone: {types[:80]}",
            "add ssh-ed25519",
        )


def _commands_in_bad_order(text: str) -> bool:
    lowered = text.lower()
    keys = re.search(r"^\s*authorizedkeyscommand\s", lowered, re.MULTILINE)
    principals = re.search(r"^\s*authorizedprincipalscommand\s", lowered, re.MULTILINE)
    return keys is not None and principals is not None and keys.start() < principals.start()
