"""Where sshd's word comes in: argv and environment become one value, here and nowhere else.

MUST: nothing that a client can set is identity. User and key come from argv, which sshd takes from the
key line; the environment gives the command, the client's address as sshd wrote it, and Git's protocol.
Plain dialect: the gate loads this file.
"""

from gitguard.decision.request import Request
from gitguard.machine.process import seconds_since_login
from gitguard.session.credential import ssh_key
from gitguard.session.moment import Moment


def request_of(
    argv: "list[str]", environ: "dict[str, str]", moment: Moment, process: "int | str" = "self"
) -> Request:
    """The request that sshd started us for. What is missing stays empty, and is refused later by name.

    `argv` is the key line's arguments: `--user NAME --key FINGERPRINT [--token TOKEN] [--verify-required] [--
    PROGRAM ARG...]`. Whoever writes `--verify-required` into a line's command writes the option of
    that name into the same line. `process` is the gate's own.
    """
    connection = environ.get("SSH_CONNECTION", "")
    user = key = token = ""
    downstream: tuple[str, ...] = ()
    verified = False
    if len(argv) >= 4 and argv[0] == "--user" and argv[2] == "--key":
        rest = argv[4:]
        if len(rest) > 1 and rest[0] == "--token":
            token, rest = rest[1], rest[2:]
        verified = rest[:1] == ["--verify-required"]
        if verified:
            rest = rest[1:]
        if not rest or (rest[0] == "--" and len(rest) > 1):
            user, key = argv[1], argv[3]
            downstream = tuple(rest[1:])
    return Request(
        user=user,
        credential=ssh_key(key),
        address=connection.partition(" ")[0],
        line=environ.get("SSH_ORIGINAL_COMMAND"),
        moment=moment,
        downstream=downstream,
        connection=connection,
        protocol=_protocol(environ.get("GIT_PROTOCOL", "")),
        login_age=seconds_since_login(process, moment.boot_seconds) if verified else None,
        token=token,
    )


def _protocol(value: str) -> str:
    """A well-formed `GIT_PROTOCOL` (`version=2`, colon-separated `key[=value]`), else ""."""
    fits = 0 < len(value) <= 64 and all(c.isalnum() or c in "=:-_." for c in value) and value.isascii()
    return value if fits else ""
