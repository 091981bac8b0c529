"""As what a ref is judged: by every name that it can stand for, since Git looks a name up by a list of places. Pure.

Source: gitrevisions(7), "Specifying Revisions"; git's refs.c, ref_rev_parse_rules: what is asked for as NAME is the first
that is there of refs/NAME, refs/tags/NAME, refs/heads/NAME. So a tag `main` or a ref refs/release/1 is what everybody gets
who asks for the branch of that name. Plain dialect: the hook loads this file.
"""

from gitguard.policy.glob import fits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

EVERY = ""  # any ref: what a hook of the repository takes, or what replaces objects under all of them
_REPLACE = "refs/replace/"


def names_of(ref: str, rules: "list[Any]") -> "tuple[str, ...]":
    """The names that `ref` is judged by beside its own, under the `rules` that may apply; EVERY alone for any ref.

    A rule that names the ref's own folder and fits it (`refs/tags/v*` a tag) was written for it, and speaks alone.
    """
    if ref == EVERY or ref.startswith(_REPLACE):
        return (EVERY,)
    kind, _, rest = ref[5:].partition("/")
    own = f"refs/{kind}/"
    for rule in rules:
        for pattern in rule[6]:
            if pattern.startswith(own) and fits(pattern, ref):
                return ()
    if kind not in ("heads", "tags"):
        return (f"refs/tags/{kind}/{rest}", f"refs/heads/{kind}/{rest}")
    named = [f"refs/{other}/{kind}/" for other in ("heads", "tags")]
    # Whoever has a branch `tags/x` has said so; any branch or tag may not count as one.
    found = [
        one + rest for one in named if any(pattern.startswith(one) for rule in rules for pattern in rule[6])
    ]
    return (f"refs/heads/{rest}", *found) if kind == "tags" else tuple(found)


def keeps_out(ref: str, pattern: str) -> bool:
    """Whether no ref that fits `pattern` can be made where `ref` is: a file in the place of its folder, or the other way round."""
    star = pattern.find("*")
    if star < 0:
        return pattern.startswith(ref + "/") or ref.startswith(pattern + "/")
    return pattern[: pattern.rfind("/", 0, star) + 1].startswith(ref + "/")
