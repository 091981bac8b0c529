"""Processes as the kernel knows them: start time and parent. Plain dialect: gate and hook load this.

A pid alone names different processes over time; a pid with its start time names one.
Source: proc(5), fields 4 (ppid) and 22 (starttime, clock ticks since boot).
"""

import posix


def parent_and_start(pid: "int | str") -> "tuple[int, int]":
    """(parent's pid, start time in clock ticks since boot) of a live process; `self` works too.

    Raises OSError if there is no such process, ValueError if the kernel's line is not understood.
    """
    with open(f"/proc/{pid}/stat", "rb") as file:
        line = file.read(4096)
    # The second field is the command in parentheses and may itself hold spaces and parentheses.
    fields = line[line.rindex(b")") + 2 :].split()
    return int(fields[1]), int(fields[19])


def threads_of(pid: int) -> int:
    """How many threads a live process has. Raises as `parent_and_start`."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        line = file.read(4096)
    return int(line[line.rindex(b")") + 2 :].split()[17])


def is_ancestor(pid: int, started: int, of_pid: int) -> bool:
    """Whether the process `pid` that began at `started` is `of_pid` or one of its ancestors."""
    current = of_pid
    while current > 1:
        try:
            parent, start = parent_and_start(current)
        except (OSError, ValueError):
            return False
        if current == pid:
            return start == started
        current = parent
    return False


def seconds_since_login(pid: "int | str", boot_seconds: int) -> "int | None":
    """How long ago the sshd process above `pid` began, which serves one login; None where there is none.

    Many commands may follow one login (ControlMaster). `boot_seconds`: now, in
    seconds since the machine booted.
    """
    try:
        current = parent_and_start(pid)[0]
        while current > 1:
            with open(f"/proc/{current}/stat", "rb") as file:
                line = file.read(4096)
            parent, started = parent_and_start(current)
            if line[line.index(b"(") + 1 :].startswith(b"sshd"):
                return max(boot_seconds - started // posix.sysconf("SC_CLK_TCK"), 0)
            current = parent
    except (OSError, ValueError):
        return None
    return None


def receive_packs_above(pid: int) -> int:
    """How many of `pid` and its ancestors are Git's receive-pack; what cannot be read counts as one."""
    count = 0
    while pid > 1:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read(65536).split(b"\0")
            name = words[0].rpartition(b"/")[2]
            count += name == b"git-receive-pack" or (name == b"git" and words[1:2] == [b"receive-pack"])
            pid = parent_and_start(pid)[0]
        except (OSError, ValueError):
            return count + 1
    return count
