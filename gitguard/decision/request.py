"""A request as a value: who asks, from where, for what, when. Plain dialect: the gate loads this file.

`user` and `credential` come from the forced command's own arguments, never from anything a client can send.
"""

from gitguard.session.credential import Credential
from gitguard.session.moment import Moment


class Request:
    """One connection's one command. `line` is the client's command, None for none; `downstream` the
    program behind the gate with its arguments, empty for git-shell. `verified_by_sshd`: the key line demands user
    verification of its hardware key, so sshd has let in nobody without.
    """

    __slots__ = (
        "address",
        "connection",
        "credential",
        "downstream",
        "line",
        "moment",
        "protocol",
        "user",
        "verified_by_sshd",
    )

    def __init__(
        self,
        user: str,
        credential: Credential,
        address: str,
        line: "str | None",
        moment: Moment,
        downstream: "tuple[str, ...]" = (),
        connection: str = "",
        protocol: str = "",
        *,
        verified_by_sshd: bool = False,
    ) -> None:
        self.user = user
        self.credential = credential
        self.address = address
        self.line = line
        self.moment = moment
        self.downstream = downstream
        self.connection = connection
        self.protocol = protocol
        self.verified_by_sshd = verified_by_sshd

    def behind(self, program: "tuple[str, ...]") -> "Request":
        """The same request with the server-wide program behind the gate, unless its key line names one."""
        if not program or self.downstream:
            return self
        words = tuple(word.replace("{user}", self.user) for word in program)
        return self._with(self.moment, words)

    def at(self, moment: Moment) -> "Request":
        """The same request, asked again at `moment`."""
        return self._with(moment, self.downstream)

    def _with(self, moment: Moment, downstream: "tuple[str, ...]") -> "Request":
        return Request(
            self.user,
            self.credential,
            self.address,
            self.line,
            moment,
            downstream,
            self.connection,
            self.protocol,
            verified_by_sshd=self.verified_by_sshd,
        )
