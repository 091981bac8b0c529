"""What a 2FA session covers, and how a client address is compared.

MUST: scope never widens by itself. When the data a scope needs is missing there is no scope, and
so no session is opened or found. Plain dialect: the gate loads this file.
"""

from gitguard.session.credential import Credential

SCOPES = ("address", "key", "user")

# /96 prefixes behind which an IPv4 address stands: mapped (RFC 4291), translated (RFC 2765), NAT64 (RFC
# 6052), compatible (RFC 4291; not `::` and `::1`).
_STAND_FOR_IPV4 = (
    (0, 0, 0, 0, 0, 0xFFFF),
    (0, 0, 0, 0, 0xFFFF, 0),
    (0x64, 0xFF9B, 0, 0, 0, 0),
    (0, 0, 0, 0, 0, 0),
)


def scope_of(kind: str, credential: Credential, address: str) -> "tuple[str, str, str] | None":
    """(kind, credential, network) under which a session is stored and looked up, or None if data is missing.

    `kind` is one of `SCOPES`, `address` the client's as sshd wrote it.
    """
    if credential.kind == "web" and kind == "user":
        kind = "key"  # a browser's session is its own: it closes the padlock there, and covers no key
    if credential.kind == "uid" and kind == "address":
        kind = "key"  # an account of this machine is at this machine
    if kind == "user":
        return ("user", "", "")
    if not credential.id:
        return None
    if kind == "key":
        return ("key", credential.text, "")
    network = network_of(address)
    if kind == "address" and network is not None:
        return ("address", credential.text, network)
    return None


def network_of(address: str) -> "str | None":
    """The part of a client address that a session is bound to: IPv4 whole, IPv6 by /64.

    An IPv6 address that stands for an IPv4 one (mapped, translated, NAT64, compatible) equals it: the /64
    around it is everyone. A link-local address counts whole, with its zone. Returns None for what is not an
    address. Written by hand because `ipaddress` and `_socket` cost the gate more than the rest of this file;
    a property test compares it with `ipaddress`.
    """
    address, _, zone = address.partition("%")
    if ":" not in address:
        return None if _ipv4_numbers(address) is None else address
    groups = _ipv6_groups(address)
    if groups is None:
        return None
    prefix = tuple(groups[:6])
    if prefix in _STAND_FOR_IPV4 and (any(prefix) or groups[6]):
        high, low = groups[6], groups[7]
        return f"{high >> 8}.{high & 255}.{low >> 8}.{low & 255}"
    if groups[0] & 0xFFC0 == 0xFE80:
        return ":".join(f"{group:x}" for group in groups) + (f"%{zone}" if zone else "")
    if groups[:3] == [0x64, 0xFF9B, 1]:  # RFC 8215: where the IPv4 address stands is the network's own choice
        return ":".join(f"{group:x}" for group in groups)
    return "{:x}:{:x}:{:x}:{:x}::/64".format(*groups[:4])


def neighbours_of(address: str) -> str:
    """The network of `address`, or what stands there where it is no address: for comparing,
    where no session hangs on it.
    """
    return network_of(address) or address


def number_of(address: str) -> "tuple[int, int] | None":
    """(4 or 6, the address as a number), None for what is not an address. One that stands
    for IPv4 is that IPv4 address.
    """
    address = address.partition("%")[0]
    if ":" in address:
        groups = _ipv6_groups(address)
        if groups is None:
            return None
        prefix = tuple(groups[:6])
        if prefix in _STAND_FOR_IPV4 and (any(prefix) or groups[6]):
            return 4, groups[6] << 16 | groups[7]
        number = 0
        for group in groups:
            number = number << 16 | group
        return 6, number
    numbers = _ipv4_numbers(address)
    if numbers is None:
        return None
    return 4, numbers[0] << 24 | numbers[1] << 16 | numbers[2] << 8 | numbers[3]


def _ipv4_numbers(text: str) -> "list[int] | None":
    numbers = []
    for part in text.split("."):
        if not (0 < len(part) <= 3 and part.isascii() and part.isdigit()):
            return None
        if len(part) > 1 and part[0] == "0":
            return None  # some parsers read a leading zero as octal; we read it as nothing
        numbers.append(int(part))
    return numbers if len(numbers) == 4 and max(numbers) < 256 else None


def _ipv6_groups(text: str) -> "list[int] | None":
    head, gap, tail = text.partition("::")
    front = _groups(head, last=not gap)
    back = _groups(tail, last=True)
    if front is None or back is None:
        return None
    missing = 8 - len(front) - len(back)
    if gap:
        return front + [0] * missing + back if missing >= 1 else None
    return front if missing == 0 else None


def _groups(text: str, *, last: bool) -> "list[int] | None":
    """The 16-bit groups of one side of `::`; a dotted IPv4 at the very end counts as two."""
    groups: list[int] = []
    parts = text.split(":") if text else []
    for position, part in enumerate(parts):
        if "." in part:
            numbers = _ipv4_numbers(part)
            if numbers is None or not last or position != len(parts) - 1:
                return None
            groups += [numbers[0] << 8 | numbers[1], numbers[2] << 8 | numbers[3]]
        elif 0 < len(part) <= 4 and all(c in "0123456789abcdefABCDEF" for c in part):
            groups.append(int(part, 16))
        else:
            return None
    return groups
