"""Services as Debian ships them, put beside gitguard on a server of its own:
doctor has nothing to say of any.

`python -m lab.healthy`, as root. Configurations and units are taken out of the packages themselves; what
Debian enables at installation is enabled. Prints a line for each.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from lab.gaps import gaps_of, healthy
from lab.host import MARK, inside
from lab.server import run

PACKAGES = (
    "apache2", "nginx-common", "samba-common", "rsync", "nfs-kernel-server", "lighttpd", "vsftpd", "proftpd-core",
    "git-daemon-sysvinit", "gitweb", "cgit", "fail2ban", "unattended-upgrades", "cron", "postgresql-common", "gitolite3",
    "openssh-server", "logrotate", "rsyslog", "certbot", "haproxy",
)  # fmt: skip
DEBS = "GITGUARD_LAB_DEBS"
# What a package's postinst makes of its files: (link, target).
ENABLED = {
    "apache2": (
        ("/etc/apache2/sites-enabled/000-default.conf", "../sites-available/000-default.conf"),
        ("/etc/apache2/conf-enabled/security.conf", "../conf-available/security.conf"),
        ("/etc/apache2/conf-enabled/serve-cgi-bin.conf", "../conf-available/serve-cgi-bin.conf"),
        ("/etc/apache2/mods-enabled/alias.conf", "../mods-available/alias.conf"),
    ),
    "nginx-common": (("/etc/nginx/sites-enabled/default", "/etc/nginx/sites-available/default"),),
    "samba-common": (("/etc/samba/smb.conf", "/usr/share/samba/smb.conf"),),
}


def fetch(folder: Path) -> None:
    """Each package's files below `folder`; one that this machine's lists do not have is left out."""
    folder.chmod(0o755)  # apt fetches as an account of its own
    for package in PACKAGES:
        target = folder / package
        target.mkdir()
        run(["apt-get", "download", "-qq", package], cwd=target, status=None)
        for found in target.glob("*.deb"):
            run(["dpkg", "-x", str(found), str(target / "files")])


def put(package: str, files: Path) -> None:
    """Its configuration, its units, and what it enables."""
    shutil.copytree(files / "etc", "/etc", dirs_exist_ok=True, symlinks=True) if (
        files / "etc"
    ).exists() else None
    for units in ("lib/systemd/system", "usr/lib/systemd/system"):
        if (files / units).is_dir():
            shutil.copytree(files / units, "/etc/systemd/system", dirs_exist_ok=True, symlinks=True)
    for link, target in ENABLED.get(package, ()):
        place = Path(link)
        place.parent.mkdir(parents=True, exist_ok=True)
        source = Path(target) if target.startswith("/") else place.parent / target
        inside_package = files / str(source).lstrip("/")
        if not source.exists() and inside_package.exists():
            shutil.copy(inside_package, place)
        elif not place.exists():
            place.symlink_to(target)


def main() -> int:
    """Each after the other, and all together at the end."""
    if MARK not in os.environ:
        with tempfile.TemporaryDirectory(prefix="gitguard-debs-") as temporary:
            fetch(Path(temporary))  # before the machine's own lists are out of sight
            os.environ[DEBS] = temporary
            inside("lab.healthy")
    host, bad, seen = healthy(), 0, 0
    keep = {path: path.read_bytes() for path in Path("/etc/ssh").rglob("*") if path.is_file()}
    try:
        for package in PACKAGES:
            files = Path(os.environ[DEBS]) / package / "files"
            if not files.is_dir():
                print(f"{package:<24} not to be had here", flush=True)
                continue
            seen += 1
            put(package, files)
            for path, data in keep.items():
                if path.read_bytes() != data:
                    path.write_bytes(data)  # sshd's own, as it was set up
            named = gaps_of(host)
            bad += bool(named)
            print(f"{package:<24} {', '.join(named) or 'silent'}", flush=True)
    finally:
        host.stop()
    print(f"{seen} packages; {bad} were not silent")
    return 1 if bad or not seen else 0


if __name__ == "__main__":
    sys.exit(main())
