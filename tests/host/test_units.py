"""The units that init writes are for this very installation."""

from __future__ import annotations

from gitguard.config.parse import parse
from gitguard.host.units import units
from lab.server import Direct

CONFIG = """
[host]
name = "git.example.com"
account = "forge"
[git]
enforcement = "opt-in"
[paths]
state = "/data/guard state"
access_log = "/data/log/access.log"
authorized_keys = "/data/forge/.ssh/authorized_keys"
[web]
trusted_proxies = ["127.0.0.1", "unix:daemon"]
"""


def test_what_the_page_writes_may_be_written() -> None:
    """O15: state, log and keys lie where this configuration says; the socket is
    for the group that is trusted.
    """
    made = units(parse(CONFIG.encode()), "/etc/gitguard/systemd", "/opt/x/python -m gitguard")
    page = made["gitguard-web.service"].decode()
    assert 'ReadWritePaths="/data/guard state" /data/log /data/forge/.ssh\n' in page
    assert "User=forge\n" in page
    assert "ExecStart=/opt/x/python -m gitguard admin serve\n" in page
    socket = made["gitguard-web.socket"].decode()
    assert "SocketUser=forge\nSocketGroup=daemon\n" in socket
    assert "User=forge\n" in made["gitguard-sweep.service"].decode()


def test_init_writes_them_anew_when_the_paths_change(site: Direct) -> None:
    """Beside the configuration, with the command of this installation."""
    unit = site.home / "systemd" / "gitguard-web.service"
    assert f"--config {site.config} admin serve" in unit.read_text()
    site.configure(web={"trusted_proxies": ["unix:daemon"]})
    site.admin("init", "--home", str(site.home))
    assert "SocketGroup=daemon" in (unit.parent / "gitguard-web.socket").read_text()
