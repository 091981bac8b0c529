"""Pre-receive hooks as people have them, each written into a repository's hooks folder."""

from __future__ import annotations

from pathlib import Path


def write(path: Path, text: str, mode: int = 0o755) -> None:
    """A file of a hooks folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def plain(hooks: Path) -> None:
    """A script that reads what Git says."""
    write(hooks / "pre-receive", '#!/bin/sh\nwhile read -r old new ref; do echo "checked $ref"; done\n')


def without_shebang(hooks: Path) -> None:
    """Git gives it to sh."""
    write(hooks / "pre-receive", "echo no shebang here\n")


def sourcing(hooks: Path) -> None:
    """It sources a sibling by its own folder."""
    write(hooks / "lib.sh", 'say() { echo "lib says $1"; }\n', 0o644)
    write(hooks / "pre-receive", '#!/bin/sh\n. "$(dirname "$0")/lib.sh"\nsay hello\n')


def group_writable(hooks: Path) -> None:
    """Umask 002 is some distributions' default."""
    write(hooks / "pre-receive", "#!/bin/sh\necho mode 0775\n", 0o775)
    hooks.chmod(0o775)
    hooks.parent.chmod(0o775)


def checks(hooks: Path) -> None:
    """Two checks for a dispatcher to run."""
    for name in ("10-one", "20-two"):
        write(hooks / "pre-receive.d" / name, f'#!/bin/sh\ncat >/dev/null\necho "{name} ran"\n')


def dispatcher(hooks: Path) -> None:
    """It runs every file of pre-receive.d; moved in there it would run itself."""
    checks(hooks)
    write(
        hooks / "pre-receive",
        '#!/bin/sh\nfor hook in "$(dirname "$0")"/pre-receive.d/*; do "$hook" </dev/null || exit 1; done\n',
    )


def dispatcher_by_own_name(hooks: Path) -> None:
    """The folder is found by the hook's own name."""
    checks(hooks)
    write(hooks / "pre-receive", '#!/bin/sh\nfor hook in "$0".d/*; do "$hook" </dev/null || exit 1; done\n')


def dispatcher_by_basename(hooks: Path) -> None:
    """The same, from the repository's folder."""
    checks(hooks)
    write(
        hooks / "pre-receive",
        '#!/bin/sh\nfor hook in hooks/$(basename "$0").d/*; do "$hook" </dev/null || exit 1; done\n',
    )


def one_program_for_all(hooks: Path) -> None:
    """Every hook is a link to one program that looks at its own name."""
    write(
        hooks / "all-hooks",
        '#!/bin/sh\ncase "$(basename "$0")" in pre-receive) echo I am pre-receive;; *) ;; esac\n',
    )
    (hooks / "pre-receive").symlink_to("all-hooks")
    (hooks / "update").symlink_to("all-hooks")


def shared_link(hooks: Path) -> None:
    """A link to a program that many repositories share."""
    write(hooks.parent.parent / "shared" / "check", "#!/bin/sh\necho shared check\n")
    (hooks / "pre-receive").symlink_to("../../shared/check")


def not_executable(hooks: Path) -> None:
    """Git passes it over, and so do we."""
    write(hooks / "pre-receive", "#!/bin/sh\necho never\nexit 1\n", 0o644)


def refusing(hooks: Path) -> None:
    """It says no to everything."""
    write(hooks / "pre-receive", "#!/bin/sh\necho not on fridays\nexit 3\n")


def in_python(hooks: Path) -> None:
    """A hook of another language, that imports its neighbour."""
    write(hooks / "neighbour.py", "WORD = 'python hook'\n", 0o644)
    write(hooks / "pre-receive", "#!/usr/bin/python3\nfrom neighbour import WORD\nprint(WORD)\n")


def starting_us(hooks: Path) -> None:
    """It runs everything whose name begins with pre-receive, itself left out: after adopting, us as well."""
    write(hooks / "pre-receive-size", "#!/bin/sh\necho size checked\n")
    write(
        hooks / "pre-receive",
        '#!/bin/sh\nlines=$(cat)\nfor hook in hooks/pre-receive*; do [ "$hook" = "$0" ] || [ ! -f "$hook" ] || echo "$lines" | "$hook" || exit 1; done\n',
    )


def folder_without_dispatcher(hooks: Path) -> None:
    """Checks that nothing ever ran: they do not begin to by being adopted."""
    checks(hooks)


def other_hooks(hooks: Path) -> None:
    """update, post-receive and post-update continue by themselves."""
    for name in ("update", "post-receive", "post-update"):
        write(hooks / name, f"#!/bin/sh\necho {name} ran\n")


def failing_in_the_folder(hooks: Path) -> None:
    """The second check of a dispatcher refuses."""
    dispatcher(hooks)
    write(hooks / "pre-receive.d" / "20-two", "#!/bin/sh\necho two says no\nexit 1\n")


KINDS = [
    plain, without_shebang, sourcing, group_writable, dispatcher, dispatcher_by_own_name, dispatcher_by_basename, one_program_for_all,
    shared_link, not_executable, refusing, in_python, starting_us, folder_without_dispatcher, other_hooks, failing_in_the_folder,
]  # fmt: skip
