"""Other services that hand out the same folders past sshd: by configuration and by what runs."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Iterator

from gitguard.config.schema import Settings
from gitguard.doctor.daemons import unit_files, unit_lines
from gitguard.doctor.finding import Finding, gap, ok, without
from gitguard.repository.registry import roots

# Where services name the folders that they hand out.
CONFIGURATIONS = (
    "/etc/exports", "/etc/exports.d/*", "/etc/samba/*.conf", "/etc/rsyncd.conf", "/etc/rsyncd.d/*", "/etc/gitweb*.conf",
    "/etc/cgitrc", "/etc/cgitrc.d/*", "/etc/default/git-daemon", "/etc/inetd.conf", "/etc/xinetd.d/*", "/etc/sv/*/run",
    "/etc/nginx/*.conf", "/etc/nginx/*/*",
    "/etc/apache2/*.conf", "/etc/apache2/*/*.conf", "/etc/httpd/*/*.conf", "/etc/lighttpd/*.conf", "/etc/lighttpd/*/*.conf",
    "/etc/vsftpd*.conf", "/etc/proftpd/*.conf", "/etc/webdav/*", "/etc/caddy/*", "/etc/gitolite*/*", "/etc/klaus*", "/etc/fossil*",
)  # fmt: skip
_LONGEST = 256 * 1024
_PATH = re.compile(r"(?<![A-Za-z0-9_.~])/[^\s\"';,:=(){}<>#]+")
_SERVERS = re.compile(
    r"(^|[/ -])(git-daemon|git-http-backend|http-backend|smbd|vsftpd|proftpd|pure-ftpd|cgit|gitweb|klaus|nfsd|fcgiwrap|lighttpd|httpd"
    r"|thttpd|darkhttpd|caddy|webfsd)( |$)|git daemon|http\.server|rsync\b.*--(daemon|server)"
)
_OF_UNITS = ("WorkingDirectory", "RootDirectory", "BindPaths", "Environment")  # beside Exec...


def export_findings(settings: Settings) -> Iterator[Finding]:
    """Whatever names a root, something inside it, or a folder that holds it."""
    places = roots(settings)
    count = 0
    for pattern in CONFIGURATIONS:
        for path in sorted(glob.glob(pattern)):
            if os.path.dirname(path).endswith("-available"):
                continue  # what is enabled is linked to from elsewhere
            count += 1
            for root, line in _hits(_text(path), places)[:1]:
                yield gap(
                    "exported",
                    f"{path} names {root}, so something may serve it past sshd and gitguard: {line.strip()[:100]}",
                    without(path, line),
                )
    for name, files in unit_files().items():
        lines = [pair for path in files for pair in unit_lines(path)]
        if not any(key.startswith("Exec") and _SERVERS.search(value) for key, value in lines):
            continue
        count += len(files)
        told = [value for key, value in lines if key.startswith("Exec") or key in _OF_UNITS]
        for root, line in _hits("\n".join(told), places)[:1]:
            yield gap(
                "exported",
                f"{files[0]} serves {root} past sshd and gitguard: {line.strip()[:100]}",
                f"systemctl disable --now {name} && mv {files[0]} {files[0]}.off",
            )
    for pid, words in _running():
        line = " ".join(words)
        if not _SERVERS.search(line):
            continue
        for root, _ in _hits(line, places)[:1]:
            yield gap(
                "exported", f"a process serves {root} past sshd and gitguard: {line[:100]}", f"kill {pid}"
            )
    yield ok("exports", f"{count} configurations of other services were compared with the roots")


def _hits(text: str, places: list[str]) -> list[tuple[str, str]]:
    """(root, line) of each line that names a root, a folder inside it, or one that holds it (but not `/`)."""
    found = []
    for line in text.splitlines():
        if line.lstrip().startswith(("#", ";", "//")):
            continue
        for word in _PATH.findall(line):
            if (root := _root_of(word, line, places)) is not None:
                found.append((root, line))
                break
    return found


def _root_of(word: str, line: str, places: list[str]) -> str | None:
    """The root that a configured path is, lies in, or hands out from above; the path may be a pattern."""
    parts = [
        part for part in (word if "*" in word or "?" in word else os.path.realpath(word)).split("/") if part
    ]
    for root in places:
        wanted = [part for part in root.split("/") if part]
        fits = all(fnmatch.fnmatchcase(has, part) for has, part in zip(wanted, parts, strict=False))
        if parts and fits and (len(parts) >= len(wanted) or _hands_out(line)):
            return root
    return None


def _hands_out(line: str) -> bool:
    """Whether a line that names a folder above a root hands that folder out, or merely lies there."""
    return (
        re.search(r"path|root|alias|base|scan|export|\(r[ow]|rw|ro\b|Directory|share", line, re.IGNORECASE)
        is not None
    )


def _text(path: str) -> str:
    try:
        if not os.path.isfile(path):
            return ""
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_LONGEST)
    except OSError:
        return ""


def _running() -> Iterator[tuple[int, list[str]]]:
    for folder in glob.glob("/proc/[0-9]*"):
        try:
            with open(f"{folder}/cmdline", "rb") as file:
                words = file.read(65536).decode("utf-8", "replace").split("\0")
        except OSError:
            continue
        if words != [""]:
            yield int(folder.rpartition("/")[2]), [word for word in words if word]
