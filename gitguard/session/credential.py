"""What someone asked with: an SSH key today; a browser, an HTTP login or a local account later.

A user has several; sessions, failures and near misses hang on the one that asked. Written down
it is one text: an SSH key's fingerprint, anything else with its kind in front. Plain dialect:
gate and hook load this file.
"""

from gitguard.identity.names import is_fingerprint

LONGEST_ID = 128
SSH_KEY = "ssh-key"


def _is_word(id_: str) -> bool:
    """A browser session's hash, an HTTP login."""
    return 0 < len(id_) <= LONGEST_ID and id_.isascii() and all(c.isalnum() or c in "._-@" for c in id_)


def _is_uid(id_: str) -> bool:
    return id_.isascii() and id_.isdigit() and len(id_) <= 10


# Kind -> whether an id of it is well formed. MUST: what is of no kind in the table is nobody's credential.
KINDS = {SSH_KEY: is_fingerprint, "web": _is_word, "http": _is_word, "uid": _is_uid}


class Credential:
    """`kind` is one of `KINDS`, `id` tells it from others of its kind: a fingerprint, a
    browser session, a login, a uid.
    """

    __slots__ = ("id", "kind")

    def __init__(self, kind: str, id_: str) -> None:
        self.kind = kind
        self.id = id_

    @property
    def text(self) -> str:
        """As store, log, grant and environment hold it; `credential_of` reads it back."""
        return self.id if self.kind == SSH_KEY else f"{self.kind}:{self.id}"

    @property
    def shown(self) -> str:
        """For people: `key SHA256:...`, `account uid 1000`."""
        return f"account uid {self.id}" if self.kind == "uid" else f"key {self.text}"

    @property
    def is_well_formed(self) -> bool:
        """Whether it can be anyone's. MUST: what is of no known kind is not."""
        return self.kind in KINDS and KINDS[self.kind](self.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Credential) and (self.kind, self.id) == (other.kind, other.id)

    def __hash__(self) -> int:
        return hash((self.kind, self.id))

    def __repr__(self) -> str:
        return f"Credential({self.text!r})"


BY_KEY = -1  # in the place of a 2FA session's number: the hardware key itself proved it, at this login
NONE = Credential(SSH_KEY, "")


def credential_of(text: str) -> Credential:
    """The credential that `text` names; what names none is an SSH key that nobody can have."""
    kind, colon, id_ = text.partition(":")
    if colon and kind != SSH_KEY and kind in KINDS:
        return Credential(kind, id_)
    return Credential(SSH_KEY, text)


def account_of(uid: int) -> Credential:
    """The account of this machine with this uid."""
    return Credential("uid", str(uid))


def ssh_key(fingerprint: str) -> Credential:
    """The SSH key of this fingerprint."""
    return Credential(SSH_KEY, fingerprint)
