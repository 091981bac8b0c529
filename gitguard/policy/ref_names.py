"""As what a ref is judged: by every name that it can stand for, since Git looks a name
up by a list of places. Pure.

Source: gitrevisions(7), "Specifying Revisions"; git's refs.c, ref_rev_parse_rules: what is asked for as NAME
is the first that is there of refs/NAME, refs/tags/NAME, refs/heads/NAME, refs/remotes/NAME,
refs/remotes/NAME/HEAD. So a tag `main` or a ref refs/release/1 is what everyone gets who asks for the branch
of that name, and a tag `origin/main` in every clone. Plain dialect: the hook loads this file.
"""

from gitguard.policy.glob import fits
from gitguard.policy.rules import REFS, first

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

EVERY = ""  # any ref: what a hook of the repository takes, or what replaces objects under all of them
_REPLACE = "refs/replace/"
REMOTES = ("origin", "upstream")  # as nearly every clone calls where it came from


def names_of(ref: str, rules: "list[Any]") -> "tuple[str, ...]":
    """The names that `ref` is judged by beside its own, under the `rules` that may
    apply; EVERY alone for any ref.

    Where the rule that it meets first names its own folder (`refs/tags/v*` a tag), that was
    written for it, and speaks alone.
    """
    if ref == EVERY or ref.startswith(_REPLACE):
        return (EVERY,)
    kind, _, rest = ref[5:].partition("/")
    own = f"refs/{kind}/"
    rule = first(rules, ref)
    if rule is not None and any(pattern.startswith(own) and fits(pattern, ref) for pattern in rule[REFS]):
        return ()
    if kind == "tags" and rest.removesuffix("/HEAD") in REMOTES:
        return (EVERY,)  # in a clone `origin` is its default branch, whichever that is
    if kind not in ("heads", "tags"):
        names = [f"{kind}/{rest}"]
        if kind == "remotes":
            names += [rest, rest.removesuffix("/HEAD")]
        return tuple(dict.fromkeys([f"refs/{other}/{name}" for name in names for other in ("tags", "heads")]))
    named = [f"refs/{other}/{kind}/" for other in ("heads", "tags")]
    # Anyone who has a branch `tags/x` has said so; any branch or tag may not count as one.
    found = [
        one + rest
        for one in named
        if any(pattern.startswith(one) for rule in rules for pattern in rule[REFS])
    ]
    if kind != "tags":
        return tuple(found)
    remote, _, branch = rest.partition("/")
    # A clone fetches tags as they are, and looks origin/main up among them before its remotes.
    there = [f"refs/heads/{branch}"] if branch and remote in REMOTES else []
    return (f"refs/heads/{rest}", *there, *found)


def keeps_out(ref: str, pattern: str) -> bool:
    """Whether no ref that fits `pattern` can be made where `ref` is: a file in the place of its
    folder, or the other way round.
    """
    star = pattern.find("*")
    if star < 0:
        return pattern.startswith(ref + "/") or ref.startswith(pattern + "/")
    return pattern[: pattern.rfind("/", 0, star) + 1].startswith(ref + "/")
