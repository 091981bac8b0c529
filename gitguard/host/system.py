"""The few system files that `init` writes when asked to, as root: sshd's drop-in, cron's line."""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
import sys

from gitguard.machine.files import replace
from gitguard.machine.ownership import fault_on_the_way
from gitguard.message.reasons import Refusal

DROP_IN = "/etc/ssh/sshd_config.d/00-gitguard.conf"
SSHD_CONFIG = "/etc/ssh/sshd_config"
CRON = "/etc/cron.d/gitguard"
TIMERS = "/etc/systemd/system/timers.target.wants"
LINKS = "/usr/local/bin"
_RELOADS = ("systemctl reload ssh", "systemctl reload sshd", "service ssh reload", "service sshd reload")
SBIN = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin"


def install_drop_in(snippet: str) -> str:
    """Put the snippet where it wins against every later Match block; `wrote` or
    `kept`, and where. Raises Refusal.

    sshd tries the whole configuration first; what it does not take is not left there.
    """
    with open(snippet, "rb") as file:
        data = file.read()
    with open(SSHD_CONFIG, encoding="utf-8", errors="replace") as file:
        if not re.search(
            r"^\s*Include\s+/etc/ssh/sshd_config\.d/\*\.conf", file.read(), re.MULTILINE | re.IGNORECASE
        ):
            raise Refusal(
                "usage",
                text=f"{SSHD_CONFIG} does not include /etc/ssh/sshd_config.d/*.conf",
                hint="put this line at its very beginning: Include /etc/ssh/sshd_config.d/*.conf",
            )
    before = None
    if os.path.exists(DROP_IN):
        with open(DROP_IN, "rb") as file:
            before = file.read()
    changed = replace(DROP_IN, data, 0o644)
    program = shutil.which("sshd", path=SBIN)
    if program is not None:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        done = subprocess.run([program, "-t"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            if before is None:
                os.unlink(DROP_IN)
            else:
                replace(DROP_IN, before, 0o644)
            raise Refusal(
                "usage",
                text=f"sshd does not take the snippet, so it was not left there: {done.stderr.strip()[:300]}",
            )
    return f"wrote {DROP_IN}" if changed else f"kept {DROP_IN}"


def reload_sshd() -> str:
    """Have the running sshd read its configuration again, after a test; what was done. Raises Refusal."""
    program = shutil.which("sshd", path=SBIN)
    if program is not None:
        done = subprocess.run([program, "-t"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Refusal("usage", text=f"sshd does not take its configuration: {done.stderr.strip()[:300]}")
    said = ""
    for line in _RELOADS:
        words = line.split()
        found = shutil.which(words[0], path=f"{LINKS}:{SBIN}:/bin")
        if found is None:
            continue
        done = subprocess.run([found, *words[1:]], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return f"sshd reads its configuration anew ({line})"
        said = said or (done.stderr or done.stdout).strip()[:200]
    raise Refusal(
        "usage",
        text=f"sshd could not be told to read its configuration anew{': ' if said else ''}{said}",
        hint="do it by hand, say: kill -HUP $(cat /run/sshd.pid)",
    )


def link_programs() -> list[str]:
    """Make what runs here known as `gitguard` and `git-guard`, where nothing has those names yet;
    what was done, and what was not.
    """
    told = []
    for name in ("gitguard", "git-guard"):
        program = os.path.join(os.path.dirname(sys.executable), name)
        there = shutil.which(name, path=f"{LINKS}:{SBIN}:/bin")
        if not os.access(program, os.X_OK):
            continue  # run from a copy, by `python -m gitguard`
        if there is not None and os.path.realpath(there) != os.path.realpath(program):
            told.append(f"note: {there} is another one; this one is {program}")
        elif there is None and not fault_on_the_way(program, 0):
            os.makedirs(LINKS, mode=0o755, exist_ok=True)
            os.symlink(program, f"{LINKS}/{name}")
            told.append(f"linked {LINKS}/{name} to {program}")
    return told


def drop_in_is_there(account: str) -> bool:
    """Whether sshd's files name the account in a Match block, in ours or in one of the admin's;
    False where they cannot be read.
    """
    wanted = re.compile(rf"^\s*Match\s+User\s+{re.escape(account)}\b", re.MULTILINE | re.IGNORECASE)
    for path in (SSHD_CONFIG, *glob.glob(f"{os.path.dirname(DROP_IN)}/*.conf")):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                if wanted.search(file.read()):
                    return True
        except OSError:
            continue
    return False


def sweep_is_scheduled() -> bool:
    """Whether cron or systemd has a line that sweeps."""
    if os.path.exists(f"{TIMERS}/gitguard-sweep.timer"):
        return True
    for path in ("/etc/crontab", *glob.glob(f"{os.path.dirname(CRON)}/*")):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                if re.search(r"^[^#\n]*\bsession sweep\b", file.read(), re.MULTILINE):
                    return True
        except OSError:
            continue
    return False


def installed() -> list[str]:
    """The files that `install_drop_in` and `install_cron` have written, and that are there."""
    return [path for path in (DROP_IN, CRON) if os.path.exists(path)]


def remove(account: str, keys_elsewhere: str) -> list[str]:
    """Take them away; what was done. Raises Refusal, OSError.

    `keys_elsewhere`: where the account's keys lie, if not where sshd looks by itself ("" for there).
    Then the drop-in keeps that one line: without it everyone would be locked out, and lines
    elsewhere would count again.
    """
    done = []
    for path in installed():
        if path == DROP_IN and keys_elsewhere:
            text = (
                "# Left by `gitguard admin uninstall`: the account's keys lie here, and nowhere else.\n"
                f"Match User {account}\n    AuthorizedKeysFile {keys_elsewhere}\nMatch all\n"
            )
            replace(path, text.encode(), 0o644)
            done.append(f"{path} only says where the keys lie now")
        else:
            os.unlink(path)
            done.append(f"removed {path}")
    return done


def install_cron(lines: str) -> str:
    """Put the cron line in place; what was done. Raises Refusal."""
    with open(lines, "rb") as file:
        data = file.read()
    said = f"{'wrote' if replace(CRON, data, 0o644) else 'kept'} {CRON}"
    if not any(shutil.which(name, path=SBIN) for name in ("cron", "crond", "fcron", "anacron")):
        said += (
            "; but there is no cron here to read it: install one, or use the units in /etc/gitguard/systemd/"
        )
    return said
