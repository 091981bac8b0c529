"""sshd's effective configuration for the Git account: what could act before the gate, or beside it.

Source: sshd(8) -T, sshd_config(5). `read` runs before the uid is given up, since sshd wants its host keys.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

from gitguard.host.doctor.finding import Finding, gap, ok

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


@dataclass(frozen=True, slots=True)
class Sshd:
    """What `sshd -T` said: keyword -> values. `fault` says why it could not be asked."""

    fault: str = ""
    version: tuple[int, int] = (0, 0)
    values: dict[str, list[str]] = field(default_factory=dict)
    text: str = ""

    def one(self, keyword: str, default: str) -> str:
        """The value of a keyword that has one."""
        return self.values.get(keyword, [default])[0]


def read(account: str, config: str | None) -> Sshd:
    """Ask sshd for its effective configuration for `account`, from `config` or its own default."""
    program = shutil.which("sshd", path=SEARCH_PATH)
    if program is None:
        return Sshd("sshd was not found on this machine")
    chosen = ["-f", config] if config else []
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # Debian's sshd refuses even -T without it
    done = subprocess.run(
        [program, "-T", *chosen, "-C", f"user={account},host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22"],
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
    try:
        with open(config or DEFAULT_CONFIG, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        text = ""
    return Sshd("", version, values, text)


def key_files(sshd: Sshd, home: str, account: str) -> list[str]:
    """The key files that sshd reads for the account, with its tokens filled in."""
    found = []
    for word in sshd.one("authorizedkeysfile", ".ssh/authorized_keys .ssh/authorized_keys2").split():
        if word != "none":
            path = word.replace("%%", "%").replace("%h", home).replace("%u", account)
            found.append(path if path.startswith("/") else f"{home}/{path}")
    return found


def findings(sshd: Sshd, snippet: str) -> Iterator[Finding]:
    """Everything about sshd."""
    remedy = f"include {snippet} at the end of sshd_config, and reload sshd"
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


def _commands_in_bad_order(text: str) -> bool:
    lowered = text.lower()
    keys = re.search(r"^\s*authorizedkeyscommand\s", lowered, re.MULTILINE)
    principals = re.search(r"^\s*authorizedprincipalscommand\s", lowered, re.MULTILINE)
    return keys is not None and principals is not None and keys.start() < principals.start()
