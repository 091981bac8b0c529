"""Taking our hook out of a repository: what was there before adopting is back. Nothing else changes."""

from __future__ import annotations

import os

from gitguard.machine.errand import errand
from gitguard.message.reasons import machine_fault
from gitguard.repository.adopting import is_ours
from gitguard.repository.chained_hooks import KEPT, KEPT_FOLDER, LEFT_ALONE, in_folder


@errand
def what_releasing_does(directory: str) -> str:
    """In words, "" for nothing: which hook a push runs afterwards, and which checks it runs no more."""
    if not is_ours(f"{directory}/hooks/pre-receive"):
        return ""
    if os.path.lexists(f"{directory}/{KEPT}"):
        return "its own pre-receive is in place again"
    checks = [] if os.path.lexists(f"{directory}/{LEFT_ALONE}") else in_folder(directory)
    lost = (
        f"; {', '.join(os.path.basename(path) for path in checks)} in pre-receive.d runs no more"
        if checks
        else ""
    )
    return "no pre-receive, as before" + lost


@errand
def release(directory: str) -> str:
    """Do it, and say the same. A crash half way leaves one hook or the other, never none where there was one.

    Raises Refusal if a file cannot be changed.
    """
    done = what_releasing_does(directory)
    try:
        if done:
            if os.path.lexists(f"{directory}/{KEPT}"):
                os.rename(f"{directory}/{KEPT}", f"{directory}/hooks/pre-receive")
            else:
                os.unlink(f"{directory}/hooks/pre-receive")
        if os.path.isdir(f"{directory}/{KEPT_FOLDER}") and not os.path.lexists(f"{directory}/{KEPT}"):
            left = _without_links(f"{directory}/{KEPT_FOLDER}")
            if left and done:
                done += f"; {', '.join(left)} lay beside it in {KEPT_FOLDER} and is still there"
        if os.path.lexists(f"{directory}/{LEFT_ALONE}"):
            os.unlink(f"{directory}/{LEFT_ALONE}")
    except OSError as error:
        raise machine_fault(f"cannot change {error.filename or directory}", error) from None
    return done


def _without_links(folder: str) -> list[str]:
    """Take our links out of `folder`, and it if nothing else is in it; the names of what others put there."""
    left = []
    for name in sorted(os.listdir(folder)):
        path = f"{folder}/{name}"
        if os.path.islink(path) and os.readlink(path) == f"../hooks/{name}":
            os.unlink(path)
        else:
            left.append(name)
    if not left:
        os.rmdir(folder)
    return left
