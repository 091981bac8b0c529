"""What doctor says of an installation below a folder: its gaps, without those of this very account."""

from __future__ import annotations

import json

from lab.server import ACCOUNT, Server

SAFE = f"""StrictModes yes
Match User {ACCOUNT}
    AuthenticationMethods publickey
    AcceptEnv GIT_PROTOCOL
    PermitTTY no
    PermitUserRC no
    DisableForwarding yes
Match all
"""


# The account of this test run is not a dedicated one, and other tests' sshd run beside it: found
# on a host that is in order.
OF_THE_ACCOUNT = {"account-is-root", "login-shell", "second-key-file", "home", "key-not-gated", "sshd-other"}


def doctor(server: Server, *, sshd: str = SAFE, status: int | None = None, files: str = "") -> dict[str, str]:
    """The gaps that doctor names, with what it says of each."""
    config = server.folder / "sshd_config"
    hosts = server.folder / "sshd" / "host_key"
    keys = files or str(server.key_file)
    config.write_text(
        f"Port {server.port}\nHostKey {hosts}\nAuthorizedKeysFile {keys}\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n{sshd}"
    )
    done = server.admin("doctor", "--sshd-config", str(config), "--json", status=status)
    findings = json.loads(done.out)["findings"]
    gaps = [finding for finding in findings if finding["level"] == "gap"]
    assert all(gap["remedy"] for gap in gaps), "every gap has its remedy"
    assert done.status == bool(gaps), "exit status 1 is for gaps"
    return {gap["name"]: gap["what"] for gap in gaps if gap["name"] not in OF_THE_ACCOUNT}
