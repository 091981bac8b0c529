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
import shlex
import shutil
import subprocess
from collections.abc import Iterator

from msgspec import Struct, field

from gitguard.doctor.daemons import Daemon
from gitguard.doctor.dependencies import Lean
from gitguard.doctor.finding import Finding, gap, note, ok, without
from gitguard.host.install import IDLE_TIMEOUT_SINCE
from gitguard.host.system import DROP_IN

SEARCH_PATH = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin:/usr/local/bin"
CA_ORDER_FIXED = (9, 4)  # before it, AuthorizedKeysCommand ahead of the one for principals drops the latter
DEFAULT_CONFIG = "/etc/ssh/sshd_config"
RELOAD = "sshd -t && systemctl reload ssh"

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
    "chrootdirectory": ("none", "neither shell nor gate is there for anybody who logs in"),
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
    folders: tuple[str, ...] = ()

    def one(self, keyword: str, default: str) -> str:
        """The value of a keyword that has one."""
        return self.values.get(keyword, [default])[0]


def program() -> str | None:
    """The machine's sshd."""
    return shutil.which("sshd", path=SEARCH_PATH)


def read(
    account: str,
    config: str | None,
    port: int = 22,
    options: tuple[str, ...] = (),
    spec: dict[str, str] | None = None,
) -> Sshd:
    """Ask sshd for its effective configuration for `account`, from `config` or its own default.

    `options`: a daemon's own words. `spec`: other words for `-C` than those of a connection over loopback.
    """
    path = program()
    if path is None:
        return Sshd("sshd was not found on this machine")
    chosen = [*(["-f", config] if config else []), *options]
    config = next(
        (value for name, value in zip(options[::2], options[1::2], strict=True) if name == "-f"), config
    )
    asked = {
        "user": account,
        "host": "localhost",
        "addr": "127.0.0.1",
        "laddr": "127.0.0.1",
        "lport": str(port),
    }
    asked.update(spec or {})
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # Debian's sshd refuses even -T without it
    done = subprocess.run(
        [path, "-T", *chosen, "-C", ",".join(f"{key}={value}" for key, value in asked.items())],
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
    folders: list[str] = []
    text = "\n".join(_with_includes(config or DEFAULT_CONFIG, files, folders))
    return Sshd("", account, version, values, text, tuple(files), tuple(folders))


def _with_includes(path: str, files: list[str], folders: list[str], depth: int = 0) -> list[str]:
    """The lines of a configuration and of what it includes; an unreadable file is one line that says so.

    `folders`: where anyone who may write could leave one more file that is included.
    """
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
                whole = (pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}").strip('"')
                folders.append(os.path.dirname(whole))
                for included in sorted(glob.glob(whole)):
                    found += _with_includes(included, files, folders, depth + 1)
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


def findings(sshd: Sshd, snippet: str, keys_command: str = "none", keys_user: str = "") -> Iterator[Finding]:
    """Everything about sshd. `keys_command`: what it is to ask for keys, as the account `keys_user`."""
    if sshd.fault:
        yield gap("sshd-not-read", sshd.fault, _readable_again(sshd.fault))
        return
    only_keys = sshd.one("authenticationmethods", "any") == "publickey"
    must_be = dict(_MUST_BE)
    if keys_command != "none":
        must_be["authorizedkeyscommand"] = (keys_command, "keys are not looked up as init says")
        must_be["authorizedkeyscommanduser"] = (keys_user, "the agent answers that account alone")
        must_be["authorizedkeysfile"] = ("none", "a line that is left in a file lets its key in")
    for keyword, (safe, opens) in must_be.items():
        value = sshd.one(keyword, safe)
        if value != safe and not (only_keys and keyword in _MOOT_BY_METHODS):
            yield gap(f"sshd-{keyword}", f"{keyword} is {value}: {opens}", _remedy(sshd, keyword, snippet))
        else:
            moot = "" if value == safe else ", which AuthenticationMethods publickey makes moot"
            yield ok(f"sshd-{keyword}", f"{keyword} {value}{moot}")
    if "%" in sshd.one("authorizedkeysfile", "").replace("%%", "").replace("%h", "").replace(
        "%u", ""
    ).replace("%U", ""):
        yield gap(
            "sshd-key-file",
            "AuthorizedKeysFile has a token that doctor does not know",
            _remedy(sshd, "authorizedkeysfile", snippet),
        )
    names = " ".join(sshd.values.get("acceptenv", [])).split()
    generous = [name for name in names if not _HARMLESS_VARIABLES.fullmatch(name)]
    if generous:
        yield gap(
            "sshd-acceptenv",
            f"clients may set {' '.join(generous)}, some of which act before any gate",
            _remedy(sshd, "acceptenv", snippet),
        )
    elif "GIT_PROTOCOL" not in names:
        yield gap(
            "sshd-acceptenv",
            "GIT_PROTOCOL is not accepted, so clients fall back to protocol v0",
            _remedy(sshd, "acceptenv", snippet),
        )
    else:
        yield ok("sshd-acceptenv", f"acceptenv {' '.join(names)}")
    yield from _closed_findings(sshd)
    if sshd.version >= IDLE_TIMEOUT_SINCE and "session" not in sshd.one("channeltimeout", "none"):
        yield note(
            "sshd-channeltimeout",
            "sshd ends no idle channel by itself, so the sweep alone ends what is parked",
            _remedy(sshd, "channeltimeout", snippet),
        )
    if sshd.one("strictmodes", "yes") != "yes":
        yield gap(
            "sshd-strictmodes",
            "StrictModes is no: sshd believes key files that others may write",
            _remedy(sshd, "strictmodes", snippet),
        )
    if sshd.version < CA_ORDER_FIXED and _commands_in_bad_order(sshd.text):
        yield gap(
            "sshd-certificate-commands",
            "AuthorizedKeysCommand stands before AuthorizedPrincipalsCommand: this OpenSSH drops forced commands of certificates",
            "put AuthorizedPrincipalsCommand first, or upgrade to OpenSSH 9.4",
        )


def _readable_again(fault: str) -> str:
    """The line that sshd itself names is turned off."""
    found = re.search(r"(/\S+):? line (\d+)", fault)
    if found is None:
        return "run doctor as root, or name the file with --sshd-config"
    return f"sed -i '{found[2]}s/^/# /' {found[1].rstrip(':')} && {RELOAD}"


def _remedy(sshd: Sshd, keyword: str, snippet: str) -> str:
    """The drop-in, where it is not what init writes; else the line of another file that decides."""
    if os.path.exists(snippet) and _bytes(DROP_IN) != _bytes(snippet):
        return "gitguard admin init --drop-in --reload"
    return line_out(sshd, keyword)


def line_out(sshd: Sshd, keyword: str) -> str:
    """The command that takes the first line of a keyword out of the file where it stands, other
    files than our drop-in first.
    """
    for path in sorted(sshd.files, key=lambda path: path == DROP_IN):
        for line in _bytes(path).decode("utf-8", "replace").splitlines():
            if line.replace("=", " ", 1).lower().split()[:1] == [keyword]:
                return f"{without(path, line)} && {RELOAD}"
    return "gitguard admin init --drop-in --reload"


def _taken_too(sshd: Sshd, kinds: set[str]) -> str:
    """These types behind those that the list has."""
    for path in sshd.files:
        if re.search(rb"^\s*PubkeyAccepted\w+\s", _bytes(path), re.MULTILINE | re.IGNORECASE):
            script = f"s/^[[:space:]]*PubkeyAccepted[a-z]* .*/&,{','.join(sorted(kinds))}/I"
            return f"sed -i '{script}' {shlex.quote(path)} && {RELOAD}"
    return line_out(sshd, "pubkeyacceptedalgorithms")


def _let_in(sshd: Sshd, keyword: str, account: str) -> str:
    """For lists of names: one more where only some may enter, the line out where it bars the account."""
    if keyword.startswith("deny"):
        return line_out(sshd, keyword)
    name = account
    if keyword == "allowgroups":
        name = grp.getgrgid(pwd.getpwnam(account).pw_gid).gr_name
    for path in sshd.files:
        if re.search(
            rf"^\s*{keyword}\s", _bytes(path).decode("utf-8", "replace"), re.MULTILINE | re.IGNORECASE
        ):
            return f"sed -i 's/^[[:space:]]*{keyword} .*/& {name}/I' {shlex.quote(path)} && {RELOAD}"
    return line_out(sshd, keyword)


def _bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError:
        return b""


def _closed_findings(sshd: Sshd) -> Iterator[Finding]:
    """What keeps everyone out, although the gate is right."""
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
                _let_in(sshd, keyword, account),
            )
    methods = sshd.one("authenticationmethods", "any")
    if methods != "any" and "publickey" not in methods.split():
        yield gap(
            "sshd-authenticationmethods",
            f"AuthenticationMethods {methods}: a key alone gets nobody in, and people have nothing else",
            line_out(sshd, "authenticationmethods"),
        )
    for keyword, bad in (("pubkeyauthentication", "no"), ("maxsessions", "0")):
        if sshd.one(keyword, "") == bad:
            yield gap(f"sshd-{keyword}", f"{keyword} is {bad}: no key gets in", line_out(sshd, keyword))
    if account == "root" and sshd.one("permitrootlogin", "yes") == "no":
        yield gap(
            "sshd-permitrootlogin",
            "PermitRootLogin is no, and the Git account is root",
            "use an account of its own",
        )


def leans(sshd: Sshd) -> Iterator[Lean]:
    """The files that sshd reads and the programs that it runs."""
    for path in sshd.files:
        yield Lean(path, "sshd-file", "sshd reads it")
    for folder in sshd.folders:
        yield Lean(folder, "sshd-file", "sshd reads whatever lies there")
    for keyword in ("revokedkeys", "trustedusercakeys", "hostkey", "authorizedprincipalsfile"):
        for path in sshd.values.get(keyword, []):
            if path.startswith("/"):
                yield Lean(path, "sshd-file", "sshd reads it")
    for keyword in ("authorizedkeyscommand", "authorizedprincipalscommand", "subsystem"):
        for line in sshd.values.get(keyword, []):
            for word in line.split():
                if word.startswith("/"):
                    yield Lean(word, "sshd-file", "sshd runs it")
    if (place := program()) is not None:
        yield Lean(place, "sshd-file", "it is sshd")
    for path in ("/etc/ssh", "/etc/ssh/sshrc", "/etc/ssh/moduli"):
        yield Lean(path, "sshd-file", "sshd reads it")


DECIDES = (
    *_MUST_BE,
    "authorizedkeysfile",
    "acceptenv",
    "setenv",
    "authenticationmethods",
    "strictmodes",
    "pubkeyauthentication",
)


def other_findings(main: Sshd, others: list[tuple[Daemon, Sshd]]) -> Iterator[Finding]:
    """Daemons that would let someone in by other settings than those that were looked at."""
    for daemon, sshd in others:
        about = f"{daemon.where}: sshd {' '.join(daemon.options)}"
        remedy = daemon.stop
        if sshd.fault:
            yield gap("sshd-other", f"{about}: it was not looked at ({sshd.fault})", remedy)
            continue
        differs = [
            keyword
            for keyword in DECIDES
            if sorted(sshd.values.get(keyword, [])) != sorted(main.values.get(keyword, []))
        ]
        if differs:
            said = f"{differs[0]} is {' '.join(sshd.values.get(differs[0], ['not set']))}"
            yield gap(
                "sshd-other", f"{about}: for the account {said}, other than what the snippet says", remedy
            )


def key_type_findings(sshd: Sshd, types: list[str]) -> Iterator[Finding]:
    """Keys that people have and sshd refuses; and an unreadable list of revoked keys, which closes all."""
    algorithms = sshd.one("pubkeyacceptedalgorithms", "").split(",")
    taken = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")}
    refused = [kind for kind in types if not any(name in algorithms for name in taken.get(kind, (kind,)))]
    if algorithms != [""] and refused:
        kinds = ", ".join(sorted(set(refused)))
        yield gap(
            "sshd-pubkeyacceptedalgorithms",
            f"{len(refused)} keys of people are of a type that sshd does not take ({kinds}): they are shut out",
            _taken_too(sshd, set(refused)),
        )
    revoked = sshd.one("revokedkeys", "none")
    if revoked != "none" and not os.access(revoked, os.R_OK):
        yield gap(
            "sshd-revokedkeys",
            f"RevokedKeys names {revoked}, which is not there: sshd then refuses every key",
            f"touch {revoked}",
        )


def _commands_in_bad_order(text: str) -> bool:
    lowered = text.lower()
    keys = re.search(r"^\s*authorizedkeyscommand\s", lowered, re.MULTILINE)
    principals = re.search(r"^\s*authorizedprincipalscommand\s", lowered, re.MULTILINE)
    return keys is not None and principals is not None and keys.start() < principals.start()
