"""Ref rules protect what a ref yields, not its name: as what Git looks it up, writes
through it, or makes room for it.

The thief of every story holds alice's key and no second factor; the rule is that of
docs/policy.md's sentence 8.
"""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest

from gitguard.config.faults import ConfigurationError
from gitguard.config.parse import parse
from gitguard.config.rules import policy_of
from gitguard.policy.containment import lies_within
from gitguard.policy.glob import fits
from gitguard.policy.ref_names import keeps_out, names_of
from gitguard.policy.situation import Policy, Situation
from lab.server import Direct

RULE = '\n[[rules]]\nname = "protected"\nrefs = ["main", "release/**", "team/*/stable"]\nrequire = true\n'
TAGS = '\n[[rules]]\nname = "versions"\nrefs = ["refs/tags/v*", "refs/tags/old/1"]\nrequire = true\n'
PROTECTED = ("main", "release/1", "release/2/a", "team/a/stable", "v1", "old/1")


def git(*words: str, cwd: Path | None = None, status: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Git, as the account that may do everything; the hook judges it as someone without a grant."""
    done = subprocess.run(["git", *words], cwd=cwd, capture_output=True, text=True, check=False)
    assert status is None or done.returncode == status, done.stderr
    return done


class Yard:
    """A repository with protected refs on it, a clone with a commit of the thief's, and
    what everyone gets by each name.
    """

    def __init__(self, site: Direct) -> None:
        self.site = site
        site.add_user("alice")
        site.admin("repo", "create", "app")
        self.directory = site.directory("app")
        self.tree = site.folder / "tree"
        git("init", "--quiet", "-b", "main", str(self.tree))
        for name, value in (("user.name", "t"), ("user.email", "t@example.com")):
            git("config", name, value, cwd=self.tree)
        git("commit", "--quiet", "--allow-empty", "-m", "good", cwd=self.tree)
        names = ["main", "release/1", "release/2/a", "team/a/stable"]
        git("push", "--quiet", str(self.directory), *(f"HEAD:refs/heads/{n}" for n in names),
            "HEAD:refs/tags/v1", "HEAD:refs/tags/old/1", cwd=self.tree)  # fmt: skip
        (self.tree / "theirs").write_text("theirs")
        git("add", "theirs", cwd=self.tree)
        git("commit", "--quiet", "-m", "theirs", cwd=self.tree)

    def rules(self, text: str, enforcement: str = "rules") -> None:
        """These rules alone."""
        head = self.site.config.read_text().partition("\n[[rules]]")[0]
        self.site.write(head.replace('"opt-in"', f'"{enforcement}"') + text)

    def push(self, ref: str) -> bool:
        """Whether the thief's commit can be put at `ref`, which is made or moved by force."""
        return (
            git(
                "push", "--quiet", "--force", str(self.directory), f"HEAD:{ref}", cwd=self.tree, status=None
            ).returncode
            == 0
        )

    def yields(self) -> dict[str, str]:
        """What each protected name gives on the server, to whoever pulls it, and as an archive."""
        found = {}
        for name in PROTECTED:
            at = git("-C", str(self.directory), "rev-parse", f"{name}^{{commit}}", status=None).stdout
            content = git(
                "-C", str(self.directory), "show", "--no-patch", "--format=%B%T", name, status=None
            ).stdout
            there = self.site.folder / "there"
            git("init", "--quiet", "--bare", str(there))
            git("-C", str(there), "fetch", "--quiet", "--no-tags", str(self.directory), name)
            pulled = git("-C", str(there), "rev-parse", "FETCH_HEAD").stdout
            archive = git("archive", f"--remote={self.directory}", name, status=None).stdout
            found[name] = f"{at} {content} {pulled} {archive}"
        return found


@pytest.fixture
def yard(site: Direct) -> Yard:
    """A yard of the test's own."""
    return Yard(site)


def test_no_push_without_2fa_changes_what_a_protected_name_gives(yard: Yard) -> None:
    """ATTACK: any ref at all that Git takes, with the key alone.

    EXPECTED: rev-parse, show, fetch and archive of every protected name give what they gave, whether the push
    was refused or not; and `explain` says what the hook does.
    """
    yard.rules(RULE + TAGS)
    tip = git("-C", str(yard.directory), "rev-parse", "main").stdout.strip()
    tree = git("-C", str(yard.directory), "rev-parse", "main^{tree}").stdout.strip()
    refs = [
        "refs/tags/main", "refs/tags/release/1", f"refs/replace/{tip}", f"refs/replace/{tree}", "refs/release/1",
        "refs/release/2/a", "refs/team/a/stable", "refs/heads/release", "refs/heads/release/1/x", "refs/heads/main/x",
        "refs/old/1", "refs/heads/main", "refs/tags/v1", "refs/heads/topic", "refs/tags/nightly", "refs/notes/commits",
        "refs/heads/Main", "refs/remotes/origin/main", "refs/heads/refs/heads/main", "refs/tags/refs/heads/main",
    ]  # fmt: skip
    dice = random.Random(16)
    words = [
        "heads",
        "tags",
        "main",
        "release",
        "1",
        "2",
        "a",
        "team",
        "stable",
        "v1",
        "old",
        "notes",
        "refs",
    ]
    refs += ["refs/" + "/".join(dice.choices(words, k=dice.randint(2, 4))) for _ in range(40)]
    before = yard.yields()
    policy = policy_of(parse(yard.site.config.read_bytes()))
    let_in = set()
    for ref in refs:
        taken = yard.push(ref)
        assert yard.yields() == before, (
            f"{ref} was {'taken' if taken else 'refused'}, and changed what a name gives"
        )
        if taken:
            assert not _demands(policy, ref)
            let_in.add(ref)
            git("-C", str(yard.directory), "update-ref", "-d", ref)
    assert {"refs/heads/topic", "refs/tags/nightly", "refs/notes/commits", "refs/heads/Main"} <= let_in
    assert len(set(refs)) - len(let_in) > 12


def _demands(policy: Policy, *refs: str) -> bool:
    situation = Situation(
        "", "push", repository=("app", "none", None), at=1, refs=tuple(("", "", ref) for ref in refs)
    )
    return policy.demands(situation).required


def test_every_door_says_the_same(yard: Yard, tmp_path: Path) -> None:
    """`explain`, `policy test` and the hook, of a tag that stands for main, an object's
    replacement, a tag of its own.
    """
    yard.rules(RULE)
    rows = {"refs/tags/main": True, "refs/replace/" + "1" * 40: True, "refs/release/1": True, "release": True,
            "refs/tags/v1": False, "topic": False}  # fmt: skip
    for ref, demanded in rows.items():
        told = json.loads(yard.site.admin("explain", "alice", "app", "push", "--ref", ref, "--json").out)
        assert told["required"] is demanded, ref
        expected = tmp_path / "expected.toml"
        verdict = "required" if demanded else "not-required"
        expected.write_text(
            f'[[expect]]\nuser = "alice"\nrepository = "app"\nref = "{ref}"\nverdict = "{verdict}"\n'
        )
        assert "0 differing" in yard.site.admin("policy", "test", str(expected)).out, ref
        if "replace" not in ref:
            assert yard.push(ref if ref.startswith("refs/") else f"refs/heads/{ref}") is not demanded, ref


def test_a_rule_that_names_a_tag_was_written_for_it(yard: Yard) -> None:
    """Freed by its own name, a tag is free, and `config check` says what that means where a
    branch of the name is protected.
    """
    free = '\n[[rules]]\nname = "free"\nrefs = ["refs/tags/*"]\nrequire = false\n'
    yard.rules(free + RULE)
    assert yard.push("refs/tags/main")
    said = yard.site.admin("config", "check").out
    assert "a ref of that name stands for the branch main of the rule 'protected'" in said
    yard.rules('\n[[rules]]\nname = "all"\nrefs = ["refs/**"]\nrequire = false\n' + RULE)
    assert yard.push("refs/tags/other")
    git("-C", str(yard.directory), "update-ref", "-d", "refs/tags/main")
    yard.rules(RULE + '\n[[rules]]\nname = "all"\nrefs = ["refs/**"]\nrequire = false\n')
    assert not yard.push("refs/tags/main"), "a rule for every ref names no tag"


def test_no_tag_takes_over_what_a_clone_calls_the_branch(yard: Yard, tmp_path: Path) -> None:
    """ATTACK: a tag origin/main beside a branch of the thief's, so that every clone fetches it. EXPECTED:
    origin/main is main in all of them.
    """
    yard.rules(RULE)
    old, tip = tmp_path / "old", git("-C", str(yard.directory), "rev-parse", "main").stdout
    git("clone", "--quiet", str(yard.directory), str(old))
    for tag in ("origin/main", "origin/release/1", "origin/HEAD", "origin", "upstream/main"):
        git(
            "push",
            "--quiet",
            str(yard.directory),
            "HEAD:refs/heads/topic",
            f"HEAD:refs/tags/{tag}",
            cwd=yard.tree,
            status=1,
        )
        assert not yard.push(f"refs/tags/{tag}"), tag
    assert yard.push("refs/tags/component/main")
    assert yard.push("refs/heads/topic")
    new = tmp_path / "new"
    git("clone", "--quiet", str(yard.directory), str(new))
    git("fetch", "--quiet", cwd=old)
    for clone in (old, new):
        assert git("rev-parse", "origin/main", cwd=clone).stdout == tip
        assert git("rev-parse", "origin", cwd=clone).stdout == tip


def test_no_branch_takes_the_place_of_a_protected_tag(yard: Yard, tmp_path: Path) -> None:
    """ATTACK: a branch v1 beside the tag v1, which `git clone -b` prefers. EXPECTED: refused where there is
    such a tag, loose, packed or in the same push.
    """
    yard.rules(TAGS)
    assert not yard.push("refs/heads/v1")
    assert yard.push("refs/heads/v2-ideas"), "no tag is called that"
    git("-C", str(yard.directory), "pack-refs", "--all")
    assert not yard.push("refs/heads/v1")
    done = git(
        "push", str(yard.directory), "HEAD:refs/heads/v3", "HEAD:refs/tags/v3", cwd=yard.tree, status=1
    )
    assert "[no-grant]" in done.stderr
    told = json.loads(yard.site.admin("explain", "alice", "app", "push", "--ref", "v1", "--json").out)
    assert told["required"]
    git("clone", "--quiet", "--depth", "1", "-b", "v1", f"file://{yard.directory}", str(tmp_path / "there"))
    assert not (tmp_path / "there" / "theirs").exists()
    yard.rules('\n[[rules]]\nname = "all"\nrefs = ["refs/tags/**"]\nrequire = true\n')
    assert not yard.push("refs/heads/v1")
    assert yard.push("refs/heads/v4")
    (yard.directory / "packed-refs").unlink()
    (yard.directory / "packed-refs").mkdir()
    assert not yard.push("refs/heads/v4"), "what cannot be read may hold any tag"


def test_what_was_a_branch_is_not_given_from_another_folder(yard: Yard) -> None:
    """ATTACK: refs/remotes/release/9, where the branch release/9 was merged and deleted. EXPECTED: refused;
    other remotes' refs are taken.
    """
    yard.rules(RULE)
    for ref in ("refs/remotes/release/9", "refs/remotes/release/8/HEAD", "refs/remotes/main"):
        assert not yard.push(ref), ref
    assert yard.push("refs/remotes/elsewhere/topic")
    assert git("-C", str(yard.directory), "rev-parse", "--verify", "release/9", status=None).returncode != 0


def test_a_rule_that_demands_opens_nothing(yard: Yard) -> None:
    """Wherever it stands: only the rule that a ref meets first says that this very ref was meant."""
    free = '\n[[rules]]\nname = "all"\nrefs = ["refs/**"]\nrequire = false\n'
    more = '\n[[rules]]\nname = "tag"\nrefs = ["refs/tags/main"]\nrequire = true\n'
    for text in (RULE + free, RULE + free + more, RULE + more + free, more + RULE + free):
        yard.rules(text)
        assert not yard.push("refs/tags/main"), text
    yard.rules(RULE + free)
    assert "stands for the branch" not in yard.site.admin("config", "check").out
    exempt = '\n[[rules]]\nname = "robot"\nusers = ["alice"]\nrefs = ["refs/tags/*"]\nexempt = true\nuntil = 2099-01-01\n'
    yard.rules(exempt + RULE)
    assert "a ref of that name stands for the branch main" in yard.site.admin("config", "check").out


def test_a_folder_that_is_a_link_is_refused(yard: Yard) -> None:
    """ATTACK: `refs/alias -> heads`, so that refs/alias/main is main. EXPECTED: refused, in
    hook and explain; nothing moves.
    """
    yard.rules(RULE)
    (yard.directory / "refs" / "alias").symlink_to("heads")
    before = yard.yields()
    assert not yard.push("refs/alias/main")
    assert not yard.push("refs/alias/topic")
    assert yard.yields() == before
    told = json.loads(
        yard.site.admin("explain", "alice", "app", "push", "--ref", "refs/alias/topic", "--json").out
    )
    assert (told["verdict"], told["reason"]) == ("refused", "malformed-command")
    assert "is a link" in told["detail"]
    (yard.directory / "refs" / "heads" / "odd").symlink_to("main")
    assert not yard.push("refs/heads/odd")


def test_what_a_proc_receive_hook_takes_may_move_anything(yard: Yard) -> None:
    """ATTACK: `receive.procReceiveRefs = refs/for` and a hook that moves main. EXPECTED: every ref rule is
    asked; adopt and doctor say it.
    """
    hook = yard.directory / "hooks" / "proc-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    git("-C", str(yard.directory), "config", "receive.procReceiveRefs", "refs/for")
    git("-C", str(yard.directory), "config", "--add", "receive.procReceiveRefs", "ad:refs/drafts/")
    yard.rules(RULE)

    def refusal(ref: str) -> str:
        return git("push", str(yard.directory), f"HEAD:{ref}", cwd=yard.tree, status=None).stderr

    for ref in ("refs/for/topic", "refs/for/refs/heads/topic", "refs/drafts/x"):
        assert "[no-grant]" in refusal(ref), ref
    assert "gitguard" not in refusal("refs/forests/topic")
    told = json.loads(
        yard.site.admin("explain", "alice", "app", "push", "--ref", "refs/for/topic", "--json").out
    )
    assert told["required"]
    assert "its hook proc-receive takes refs/for, refs/drafts" in yard.site.admin("repo", "adopt", "app").out
    assert "receive.procReceiveRefs gives refs/for" in yard.site.admin("doctor", status=None).out
    (yard.site.folder / "broken").write_text("[receive\n")
    git("-C", str(yard.directory), "config", "include.path", str(yard.site.folder / "broken"))
    assert not yard.push("refs/heads/topic"), "what Git does not say is every ref"


def test_refs_that_are_no_files_are_not_adopted(yard: Yard) -> None:
    """Symbolic refs in another kind of storage cannot be seen, so every ref rule is asked;
    adopt refuses, doctor names it.
    """
    yard.rules(RULE)
    (yard.directory / "reftable").mkdir()
    assert not yard.push("refs/heads/topic")
    assert "extensions.refStorage" in yard.site.admin("repo", "adopt", "app", status=None).text
    assert "extensions.refStorage" in yard.site.admin("doctor", status=None).out


@pytest.mark.parametrize(
    ("pattern", "way"),
    [("refs/*", "refs/**"), ("refs/heads", "refs/**"), ("refs/tags", "refs/**"), ("refs/x*", "refs/**")],
)
def test_a_pattern_that_no_ref_can_fit_is_a_fault(pattern: str, way: str) -> None:
    """`refs/*` is Gerrit's way to say all; a ref has three parts at least, so it would be silently open."""
    text = f"[git]\nenforcement = 'rules'\n[[rules]]\nname = 'a'\nrefs = ['{pattern}']\nrequire = true\n"
    with pytest.raises(ConfigurationError) as caught:
        parse(text.encode())
    assert way in str(caught.value.faults[0])
    for good in ("refs/**", "**", "*", "main", "refs/heads/*", "refs/**/x"):
        parse(text.replace(pattern, good).encode())


def test_within_is_never_said_of_what_is_not() -> None:
    """A pattern within another: thousands of pairs against what fits each; the everyday cases are seen."""
    dice = random.Random(8)
    parts = ["a", "ab", "*", "a*", "*b", "**", "a*b"]
    texts = ["/".join(dice.choices(["a", "b", "ab", "aab", "x"], k=dice.randint(1, 4))) for _ in range(300)]
    seen = 0
    for _ in range(3000):
        inner, outer = ("/".join(dice.choices(parts, k=dice.randint(1, 3))) for _ in range(2))
        if lies_within(inner, outer):
            seen += 1
            assert all(fits(outer, text) for text in texts if fits(inner, text)), (inner, outer)
    assert seen > 300
    for inner, outer in (
        ("ops/dns", "ops/**"),
        ("ops/*", "ops/**"),
        ("a/b/*", "a/**"),
        ("x*", "*"),
        ("**/a", "**"),
    ):
        assert lies_within(inner, outer)
    for inner, outer in (("ops/**", "ops/dns"), ("ops", "ops/**"), ("*", "x*"), ("a/**", "a/*")):
        assert not lies_within(inner, outer)


def test_names_and_places() -> None:
    """What one ref stands for, and what it keeps from being made."""
    rule = ("r", "require", None, None, None, (), ("refs/heads/main", "refs/heads/tags/x/**"), (), None, None)
    assert names_of("refs/tags/main", [rule]) == ("refs/heads/main", "refs/heads/tags/main")
    assert names_of("refs/heads/main", []) == ()
    assert names_of("refs/replace/abc", []) == ("",)
    assert names_of("refs/a/b", []) == ("refs/tags/a/b", "refs/heads/a/b")
    assert names_of("refs/tags/origin/a/b", []) == ("refs/heads/origin/a/b", "refs/heads/a/b")
    assert names_of("refs/tags/component/a", []) == ("refs/heads/component/a",)
    assert names_of("refs/tags/upstream/HEAD", []) == names_of("refs/tags/origin", []) == ("",)
    remote = names_of("refs/remotes/release/8/HEAD", [])
    assert {"refs/heads/release/8", "refs/heads/release/8/HEAD", "refs/heads/remotes/release/8/HEAD"} < set(
        remote
    )
    assert keeps_out("refs/heads/release", "refs/heads/release/**")
    assert keeps_out("refs/heads/a", "refs/heads/a/b*")
    assert not keeps_out("refs/heads/a", "refs/heads/ab/**")
    assert keeps_out("refs/heads/main/x", "refs/heads/main")
    assert not keeps_out("refs/heads/mainx", "refs/heads/main")
