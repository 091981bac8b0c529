"""A request as a value: who asks, from where, for what, when. Plain dialect: the gate loads this file.

`user` and `credential` come from the forced command's own arguments, never from anything a client can send.
"""

from gitguard.session.credential import Credential
from gitguard.session.moment import Moment


class Request:
    """One connection's one command.

    `line` is the client's command, None for none; `downstream` the program behind the gate with its
    arguments, empty for git-shell. `login_age`: how many seconds ago sshd has verified the person of a
    hardware key, whose line requires that; None where the line requires nothing. `token`: what sshd was given
    for this very connection (agent/connection.py), "" where keys are in a file.
    """

    __slots__ = (
        "address",
        "connection",
        "credential",
        "downstream",
        "line",
        "login_age",
        "moment",
        "protocol",
        "token",
        "user",
    )

    def __init__(
        self,
        *,
        user: str,
        credential: Credential,
        address: str,
        line: "str | None",
        moment: Moment,
        downstream: "tuple[str, ...]" = (),
        connection: str = "",
        protocol: str = "",
        login_age: "int | None" = None,
        token: str = "",
    ) -> None:
        self.user = user
        self.credential = credential
        self.address = address
        self.line = line
        self.moment = moment
        self.downstream = downstream
        self.connection = connection
        self.protocol = protocol
        self.login_age = login_age
        self.token = token

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
            user=self.user,
            credential=self.credential,
            address=self.address,
            line=self.line,
            moment=moment,
            downstream=downstream,
            connection=self.connection,
            protocol=self.protocol,
            login_age=None if self.login_age is None else self.login_age + max(moment.at - self.moment.at, 0),
            token=self.token,
        )
