"""The server admin's rules, against a model of them that is written here once more, in another way."""

from __future__ import annotations

import contextlib
import fnmatch
import ipaddress
import itertools
import random
import re
import time
from typing import Any

import msgspec
import pytest

from gitguard.config import parse as parsing
from gitguard.config.faults import ConfigurationError
from gitguard.config.parse import parse
from gitguard.config.rules import compiled_rules, policy_of
from gitguard.config.schema import RuleTable, Settings
from gitguard.config.types import Network, Pattern, UserOrGroup
from gitguard.policy.glob import fits, glob_fault, whole_ref
from gitguard.policy.narrowed import narrowed
from gitguard.policy.requirement import Requirement
from gitguard.policy.rules import Asked, Rules, is_listed, matches
from gitguard.policy.situation import PASSED, UNKNOWN, Policy, Situation
from gitguard.policy.verdict import Freshness, verdict
from gitguard.session.credential import BY_KEY

DAY = 86400
NOW = 1_800_000_000  # 2027-01-15
MAIN = ("0" * 40, "1" * 40, "refs/heads/main")
TOPIC = ("0" * 40, "1" * 40, "refs/heads/topic/x")
TAG = ("0" * 40, "1" * 40, "refs/tags/v1")


def policy(text: str, enforcement: str = "opt-in") -> Policy:
    """The policy of a configuration."""
    head = f"[git]\nenforcement = '{enforcement}'\n[session]\nlifetime = '8h'\n"
    return policy_of(parse((head + text).encode()))


def asked(rules: Policy, operation: str = "push", **facts: Any) -> Requirement:
    """What is required of alice, of `team/app`, from 10.1.2.3."""
    user = str(facts.pop("user", "alice"))
    given: dict[str, Any] = {
        "repository": ("team/app", "none", None),
        "address": "10.1.2.3",
        "at": NOW,
        **facts,
    }
    return rules.demands(Situation(user, operation, **given))


# -- patterns -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("team/app", ["team/app"], ["team/app2", "team", "Team/app", "x/team/app"]),
        ("team/*", ["team/app", "team/.x"], ["team", "team/a/b", "teams/a"]),
        ("team/**", ["team/app", "team/a/b"], ["team", "teams/a", "x/team/a"]),
        ("**", ["a", "a/b"], []),
        ("*", ["a"], ["a/b"]),
        ("**/docs", ["docs", "a/docs", "a/b/docs"], ["docs/a", "mydocs"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["a", "z", "a/zz", "b/a/z"]),
        ("a*c", ["ac", "abc"], ["ab", "a/c", "acd"]),
        ("a*b*c", ["abc", "axbyc", "abbc"], ["ac", "acb", "axc"]),
        ("aa*aa", ["aaaa", "aabaa"], ["aaa", "aa"]),
        ("**/a/**/b", ["a/b", "x/a/b", "a/x/b", "x/y/a/z/b"], ["b", "a"]),
    ],
)
def test_patterns(pattern: str, fitting: list[str], others: list[str]) -> None:
    """`*` within a part, `**` across; the whole name, letter for letter."""
    assert glob_fault(pattern) == ""
    assert [text for text in fitting if not fits(pattern, text)] == []
    assert [text for text in others if fits(pattern, text)] == []


def test_patterns_against_a_regular_expression() -> None:
    """Thousands of patterns and names: the matcher without `re` and the one with it agree."""
    dice = random.Random(11)
    for _ in range(20_000):
        pattern = "/".join(
            dice.choice(["a", "b", "*", "a*", "*b", "a*b", "**"]) for _ in range(dice.randint(1, 4))
        )
        text = "/".join(dice.choice(["a", "b", "ab", "aab", "c"]) for _ in range(dice.randint(1, 5)))
        assert fits(pattern, text) == bool(re.fullmatch(expression(pattern), text)), (pattern, text)


def expression(pattern: str) -> str:
    """The same as a regular expression: `**` in front or between is any number of
    parts, at the end at least one.
    """
    made = ""
    parts = pattern.split("/")
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            made += ".+" if last else "(?:[^/]+/)*"
            continue
        made += "".join("[^/]*" if c == "*" else re.escape(c) for c in part)
        made += "" if last else "/"
    return made


def test_a_ref_without_its_folder_is_a_branch() -> None:
    """`main` and `refs/heads/main` are one pattern; a tag is written whole."""
    assert whole_ref("main") == whole_ref("refs/heads/main") == "refs/heads/main"
    assert whole_ref("refs/tags/*") == "refs/tags/*"
    assert whole_ref("tags/v1") == "refs/heads/tags/v1"


# -- single rules ---------------------------------------------------------------------------------


def test_the_first_rule_that_matches_counts() -> None:
    """In the order of the file, whatever a later one says."""
    text = "[[rules]]\nname = 'a'\nusers = ['alice']\nrequire = {}\n[[rules]]\nname = 'b'\nrequire = {}\n"
    assert asked(policy(text.format("true", "false"))).because == "rule:a"
    assert not asked(policy(text.format("false", "true"))).required
    assert asked(policy(text.format("false", "true")), user="bob").because == "rule:b"


@pytest.mark.parametrize("enforcement", ["off", "rules", "opt-in", "enforced"])
def test_off_looks_at_no_rule(enforcement: str) -> None:
    """Under every other enforcement a rule sets the answer, also to none."""
    demanding = policy("[[rules]]\nname = 'a'\nrequire = true\n", enforcement)
    assert asked(demanding).required == (enforcement != "off")
    freeing = policy("[[rules]]\nname = 'a'\nrequire = false\n", enforcement)
    assert not asked(freeing).required


def test_a_rule_has_its_own_lifetime() -> None:
    """Shorter than the server's, which bounds it; of all that require the shortest counts."""
    assert asked(policy("[[rules]]\nname = 'a'\nrequire = true\nlifetime = '2h'\n")).lifetime_seconds == 7200
    rules = policy("[[rules]]\nname = 'a'\nrequire = true\nlifetime = '24h'\n")
    assert asked(rules).lifetime_seconds == 8 * 3600
    assert asked(rules, repository=("team/app", "push", None)).lifetime_seconds == 8 * 3600
    assert asked(rules, repository=("team/app", "push", 600)).lifetime_seconds == 600


def test_an_exemption_is_final_but_for_always() -> None:
    """Over base, rules and toggle; the user's own switch stands above it; a day late it is gone."""
    text = (
        "[[rules]]\nname = 'robot'\nusers = ['ci']\nrepositories = ['team/*']\nexempt = true\nuntil = 2027-01-31\n"
        "[[rules]]\nname = 'all'\nrequire = true\n"
    )
    rules = policy(text, "enforced")
    closed = ("team/app", "all", None)
    robot = asked(rules, user="ci", repository=closed)
    assert (robot.required, robot.exempt, robot.rule) == (False, True, "robot")
    assert asked(rules, user="ci", repository=closed, always=True).because == "always"
    assert asked(rules, user="ci", repository=("other/app", "all", None)).required
    assert asked(rules, user="alice", repository=closed).required
    assert asked(rules, user="ci", repository=closed, at=NOW + 30 * DAY).because == "rule:all+toggle"


def test_a_toggle_tightens_what_a_rule_frees() -> None:
    """`require = false` is a base answer; an exemption alone stands above a toggle."""
    rules = policy("[[rules]]\nname = 'a'\nrequire = false\n")
    assert asked(rules, repository=("team/app", "push", None)).because == "toggle"


def test_dates_are_the_servers_whole_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """`since` from the first moment of its day, `until` to the last of its, in the server's zone."""
    until = "[git]\nenforcement = 'opt-in'\n[[rules]]\nname = 'a'\nuntil = 2027-01-10\nrequire = true\n"
    here = parse(until.encode()).rules[0].until
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert parse(until.encode()).rules[0].until == here, "a TZ that somebody brought along changes nothing"
    monkeypatch.setattr(parsing, "server_zone", contextlib.nullcontext)
    time.tzset()
    try:
        rules = policy("[[rules]]\nname = 'a'\nsince = 2027-01-10\nuntil = 2027-01-10\nrequire = true\n")
        begins = 1_799_506_800  # 2027-01-10T00:00:00+09:00
        assert [asked(rules, at=begins + n).required for n in (-1, 0, DAY - 1, DAY)] == [
            False,
            True,
            True,
            False,
        ]
        exact = policy("[[rules]]\nname = 'a'\nsince = 2027-01-10T12:00:00Z\nrequire = true\n")
        at = 1_799_582_400
        assert [asked(exact, at=at + n).required for n in (-1, 0)] == [False, True]
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("10.0.0.0/8", ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.1", "2001:db8::1", "::1"]),
        ("192.0.2.7", ["192.0.2.7"], ["192.0.2.8"]),
        ("2001:db8::/32", ["2001:db8:1::9", "2001:db8::1%eth0"], ["2001:db9::1", "10.0.0.1"]),
        ("0.0.0.0/0", ["1.2.3.4"], ["2001:db8::1"]),
    ],
)
def test_networks(network: str, inside: list[str], outside: list[str]) -> None:
    """By the client's address; IPv4 written as IPv6 is IPv4."""
    rules = policy(f"[[rules]]\nname = 'a'\nfrom = ['{network}']\nrequire = true\n")
    assert all(asked(rules, address=address).required for address in inside)
    assert not any(asked(rules, address=address).required for address in outside)


def test_what_is_unknown_counts_against() -> None:
    """ATTACK: a push with no identity or address, or a name that only the program behind knows. EXPECTED:
    conditions on it count as met for a rule that requires, and as unmet for one that does not.
    """
    for condition in ("users = ['alice']", "from = ['10.0.0.0/8']", "users = ['@ops']"):
        group = "[groups]\nops = ['alice']\n"
        demanding = policy(f"{group}[[rules]]\nname = 'a'\n{condition}\nrequire = true\n")
        freeing = policy(f"{group}[[rules]]\nname = 'a'\n{condition}\nrequire = false\n", "enforced")
        assert asked(demanding, user="", address="").required, condition
        assert asked(freeing, user="", address="").required, condition
    named = policy("[[rules]]\nname = 'a'\nrepositories = ['secret/*']\nrequire = true\n")
    assert asked(named, what=UNKNOWN, repository=("alias", "none", None)).required
    opened = policy("[[rules]]\nname = 'a'\nrepositories = ['alias']\nrequire = false\n", "enforced")
    assert asked(opened, what=UNKNOWN, repository=("alias", "none", None)).required


def test_reading_covers_pushing() -> None:
    """What requires 2FA for reading requires it for pushing, since receive-pack shows the refs."""
    rules = policy("[[rules]]\nname = 'a'\noperations = ['read']\nrequire = true\nlifetime = '1h'\n")
    assert asked(rules, "read").lifetime_seconds == asked(rules, "push").lifetime_seconds == 3600


# -- refs -----------------------------------------------------------------------------------------

REFS = "[[rules]]\nname = 'main'\nrefs = ['main', 'refs/tags/*']\nrequire = true\n"


def test_the_gate_lets_on_what_its_refs_decide() -> None:
    """Before the refs are known it refuses only what every ref would; what may be required is said."""
    before = asked(policy(REFS))
    assert not before.required
    assert before.depends_on_refs
    assert before.refs == (("refs/heads/main", "main"), ("refs/tags/*", "main"))
    both = asked(policy(REFS + "[[rules]]\nname = 'rest'\nrequire = true\nlifetime = '24h'\n"))
    assert both.lifetime_seconds == 8 * 3600, "the longest that a ref could bring: the hook judges exactly"
    assert not asked(policy(REFS), "read").depends_on_refs


@pytest.mark.parametrize(
    ("updates", "required", "named"),
    [
        ((MAIN,), True, (("refs/heads/main", "main"),)),
        ((TOPIC,), False, ()),
        ((TAG,), True, (("refs/tags/v1", "main"),)),
        ((TOPIC, MAIN, TAG), True, (("refs/heads/main", "main"), ("refs/tags/v1", "main"))),
        ((("1" * 40, "0" * 40, "refs/heads/main"),), True, (("refs/heads/main", "main"),)),
        ((("0" * 40, "1" * 40, "refs/heads/main2"),), False, ()),
        ((("0" * 40, "1" * 40, "refs/heads/Main"),), False, ()),
        ((("0" * 40, "1" * 40, "refs/notes/main"),), False, ()),
    ],
)
def test_the_hook_judges_each_ref(updates: tuple[Any, ...], required: bool, named: object) -> None:
    """Create, update, delete, tags, several at once: one that requires is enough for all."""
    answer = asked(policy(REFS), refs=updates)
    assert answer.required == required
    assert answer.refs == named


def test_an_exemption_for_some_refs_frees_no_other() -> None:
    """ATTACK: a robot that may push its branch pushes main beside it. EXPECTED: the
    strictest of all refs counts.
    """
    text = (
        "[[rules]]\nname = 'robot'\nusers = ['ci']\nrefs = ['bot/*']\nexempt = true\nuntil = 2027-01-31\n"
        "[[rules]]\nname = 'all'\nrequire = true\n"
    )
    own = ("0" * 40, "1" * 40, "refs/heads/bot/x")
    assert asked(policy(text), user="ci", refs=(own,)).exempt
    assert asked(policy(text), user="ci", refs=(own, MAIN)).required
    assert not asked(policy(text), user="ci").required, "the gate lets it on to the hook"


def test_a_lender_demands_by_its_own_name_and_rules() -> None:
    """A rule on the lender reaches whoever borrows; by its refs nothing is known, so what
    any of them requires counts.
    """
    rules = policy("[[rules]]\nname = 'core'\nrepositories = ['core']\nrequire = true\n")
    assert asked(rules, "read", borrows=(("core", "none", None),)).because == "borrows:core(rule:core)"
    refs = policy("[[rules]]\nname = 'core'\nrepositories = ['core']\nrefs = ['main']\nrequire = true\n")
    assert asked(refs, "push", lends=(("core", "none", None),)).required
    assert not asked(refs, "read", borrows=(("core", "none", None),)).required


# -- the model ------------------------------------------------------------------------------------


REFS_PUSHED = ["refs/heads/main", "refs/heads/topic", "refs/tags/v1", "refs/tags/main", "refs/replace/1"]


class Model:
    """The contract once more, read from the settings: sets and exhaustive choice
    instead of a first candidate.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def answer(
        self, rule: Any, toggle: tuple[str, int | None], operation: str
    ) -> tuple[bool, set[tuple[str, int]]]:
        """(exempt, what requires and for how long)."""
        lifetime = int(self.settings.session.lifetime)
        enforcement = self.settings.git.enforcement
        demands: set[tuple[str, int]] = set()
        if rule is not None and rule.exempt:
            return True, demands
        if rule is None and enforcement == "enforced":
            demands.add(("enforcement", lifetime))
        if rule is not None and rule.require:
            demands.add((f"rule:{rule.name}", min(int(rule.lifetime or lifetime), lifetime)))
        require, shorter = toggle
        if enforcement != "off" and (require == "all" or (require == "push" and operation == "push")):
            demands.add(("toggle", min(lifetime, shorter or lifetime)))
        return False, demands

    def first(self, operation: str, ref: str | None, facts: dict[str, Any]) -> Any:
        """The first rule that matches."""
        if self.settings.git.enforcement == "off":
            return None
        return next((rule for rule in self.settings.rules if self.matches(rule, operation, ref, facts)), None)

    def each(self, operation: str, ref: str | None, facts: dict[str, Any]) -> list[Any]:
        """The first rule for each name that the ref can stand for; all that may be
        first, for what replaces objects.
        """
        if ref is None or self.settings.git.enforcement == "off":
            return [self.first(operation, ref, facts)]
        near: list[Any] = []
        for rule in self.settings.rules:
            if self.matches(msgspec.structs.replace(rule, refs=[]), operation, None, facts):
                near.append(rule)
                if not rule.refs:
                    break
        else:
            near.append(None)
        if ref.startswith("refs/replace/"):
            return near
        patterns = {whole_ref(p) for rule in near if rule is not None for p in rule.refs}
        names = {ref}
        if ref.startswith("refs/tags/") and not any(
            p.startswith("refs/tags/") and fnmatch.fnmatchcase(ref, p) for p in patterns
        ):
            names.add(ref.replace("refs/tags/", "refs/heads/"))
        return [self.first(operation, name, facts) for name in names]

    def matches(self, rule: Any, operation: str, ref: str | None, facts: dict[str, Any]) -> bool:
        """Every condition that is given."""
        unknown = rule.require is True
        members = {
            name
            for user in rule.users
            for name in (self.settings.groups[user[1:]] if user.startswith("@") else [user])
        }
        address = ipaddress.ip_address(facts["address"]) if facts["address"] else None
        conditions = [
            not rule.operations or operation in rule.operations,
            rule.since is None or facts["at"] >= rule.since,
            rule.until is None or facts["at"] < rule.until,
            not rule.users or (facts["user"] in members if facts["user"] else unknown),
            not rule.from_
            or (unknown if address is None else any(address in ipaddress.ip_network(n) for n in rule.from_)),
            not rule.repositories
            or any(re.fullmatch(expression(p), facts["name"]) for p in rule.repositories),
            not rule.refs
            or (ref is not None and any(fnmatch.fnmatchcase(ref, whole_ref(p)) for p in rule.refs)),
        ]
        return all(conditions)

    def demanded(
        self, operation: str, refs: tuple[str, ...], facts: dict[str, Any]
    ) -> tuple[bool, int | None]:
        """(exempt, the lifetime or None) of one request whose refs are known."""
        lifetime = int(self.settings.session.lifetime)
        chosen = [rule for ref in refs or (None,) for rule in self.each(operation, ref, facts)]
        answers = [self.answer(rule, facts["toggle"], operation) for rule in chosen]
        exempt = all(free for free, _ in answers)
        demands = set().union(*(found for _, found in answers))
        if operation == "push" and not exempt:
            demands |= self.answer(self.first("read", None, facts), ("none", None), "read")[1]
        if facts["always"]:
            demands.add(("always", lifetime))
        if not demands:
            return exempt, None
        return False, min(seconds for _, seconds in demands)


def _rules(dice: random.Random) -> str:
    text = "[groups]\nops = ['alice', 'bob']\n"
    for number in range(dice.randint(1, 6)):
        lines = [f"[[rules]]\nname = 'r{number}'"]
        exempt = dice.random() < 0.2
        if exempt or dice.random() < 0.4:
            lines.append(f"users = {dice.choice([['alice'], ['ci'], ['@ops'], ['ci', '@ops']])}")
        if dice.random() < 0.4:
            lines.append(f"repositories = {dice.choice([['team/*'], ['**'], ['core'], ['team/app', 'x']])}")
        operations = dice.choice([[], [], ["read"], ["push"], ["read", "push"]])
        if operations:
            lines.append(f"operations = {operations}")
        if "read" not in operations and dice.random() < 0.4:
            lines.append(
                f"refs = {dice.choice([['main'], ['refs/tags/*'], ['main', 'topic'], ['refs/heads/*']])}"
            )
        if dice.random() < 0.3:
            lines.append(f"from = {dice.choice([['10.0.0.0/8'], ['192.0.2.0/24', '2001:db8::/32']])}")
        since = dice.random() < 0.2
        if since:
            lines.append("since = 2027-01-20")
        if exempt or dice.random() < 0.2:
            lines.append(f"until = {'2027-03-01' if since else dice.choice(['2027-01-10', '2027-03-01'])}")
        if exempt:
            lines.append("exempt = true")
        else:
            require = dice.random() < 0.6
            lines.append(f"require = {str(require).lower()}")
            if require and dice.random() < 0.5:
                lines.append(f"lifetime = '{dice.choice(['10m', '1h', '24h'])}'")
        text += "\n".join(lines) + "\n"
    return text


def _facts(dice: random.Random) -> dict[str, Any]:
    return {
        "user": dice.choice(["alice", "bob", "ci", "carol"]),
        "address": dice.choice(["10.1.2.3", "192.0.2.9", "2001:db8::9", "198.51.100.1", ""]),
        "at": NOW,
        "name": dice.choice(["team/app", "core", "x", "team/a/b"]),
        "toggle": (dice.choice(["none", "none", "push", "all"]), dice.choice([None, 600, 10 * DAY])),
        "always": dice.random() < 0.1,
    }


def test_the_model_and_the_policy_agree() -> None:
    """Thousands of situations: enforcement, rules of every kind, toggle, always,
    refs, address, date, exemption.
    """
    dice = random.Random(20270115)
    kinds: set[tuple[str, bool, bool]] = set()
    for enforcement, _ in itertools.product(("off", "rules", "opt-in", "enforced"), range(250)):
        settings = parse(f"[git]\nenforcement = '{enforcement}'\n{_rules(dice)}".encode())
        real, model = policy_of(settings), Model(settings)
        kept: dict[object, Policy] = {}  # one narrowed policy answers for all repositories and operations
        for _ in range(6):
            facts = _facts(dice)
            operation = dice.choice(["read", "push", "push"])
            refs = tuple(dice.sample(REFS_PUSHED, dice.randint(1, 3)))
            if operation == "read":
                refs = ()
            situation = Situation(
                facts["user"], operation, repository=(facts["name"], *facts["toggle"]), always=facts["always"],
                address=facts["address"], at=facts["at"], refs=tuple(("0", "1", ref) for ref in refs),
            )  # fmt: skip
            got = real.demands(situation)
            about = (facts["user"], facts["address"], facts["at"])
            fast = kept.setdefault(about, narrowed(real, *about)).demands(situation)
            assert (fast.lifetime_seconds, fast.because, fast.refs, fast.exempt) == (
                got.lifetime_seconds, got.because, got.refs, got.exempt,
            )  # fmt: skip
            exempt, lifetime = model.demanded(operation, refs, facts)
            assert (got.exempt, got.lifetime_seconds) == (exempt, lifetime), (
                settings,
                facts,
                operation,
                refs,
            )
            kinds.add((enforcement, got.required, got.exempt))
    assert len(kinds) >= 9, "every kind of answer came up"


def test_the_gate_never_refuses_what_some_ref_would_be_allowed() -> None:
    """ATTACK on the user: the gate guesses. EXPECTED: it requires less than or as much as each
    single ref, and says if less.
    """
    dice = random.Random(4)
    refs = [*REFS_PUSHED, "refs/notes/x", "refs/heads/x"]
    for _ in range(2000):
        settings = parse(
            f"[git]\nenforcement = '{dice.choice(['rules', 'opt-in', 'enforced'])}'\n{_rules(dice)}".encode()
        )
        facts = _facts(dice)

        def answer(
            updates: tuple[Any, ...], settings: Settings = settings, facts: dict[str, Any] = facts
        ) -> Requirement:
            return policy_of(settings).demands(
                Situation(
                    facts["user"],
                    "push",
                    repository=(facts["name"], *facts["toggle"]),
                    always=facts["always"],
                    address=facts["address"],
                    at=facts["at"],
                    refs=updates,
                )
            )

        gate = answer(())
        each = [answer((("0", "1", ref),)) for ref in refs]
        if gate.required:
            assert all(one.required for one in each)
            assert gate.lifetime_seconds is not None
            shortest = min(one.lifetime_seconds or 0 for one in each)
            assert gate.lifetime_seconds >= shortest
        if any(one.required for one in each) and not gate.required:
            assert gate.depends_on_refs


def test_a_search_in_names() -> None:
    """Sorted, between line breaks: the first, the last, each in between, and none that is not there."""
    dice = random.Random(7)
    for size in (0, 1, 2, 3, 10, 999):
        names = sorted({f"user{dice.randrange(5000)}" for _ in range(size)})
        text = "\n" + "".join(f"{name}\n" for name in names)
        assert all(is_listed(text, name) for name in names)
        for other in (
            "",
            "a",
            "user",
            "user1 ",
            "zzz",
            "user\n",
            "userx",
            *(name + "0" for name in names[:50]),
        ):
            assert is_listed(text, other) == (other in names), (size, other)


# -- what a review of the rules found ---------------------------------------------------------------

ROBOT = "[[rules]]\nname = 'robot'\nusers = ['ci']\nrefs = ['bot/**']\nexempt = true\nuntil = 2027-06-30\n"


def test_where_no_hook_will_judge_the_strictest_counts() -> None:
    """ATTACK: an LFS upload, or a push to a name that only the program behind knows, under a rule with refs.

    EXPECTED: a rule that requires counts as met, one that frees or exempts as unmet:
    nobody judges after the gate.
    """
    lfs: dict[str, Any] = {"hooked": False, "repository": ("team/app", "none", None)}
    assert asked(policy(REFS), **lfs).required
    assert asked(policy(ROBOT, "enforced"), user="ci", **lfs).required
    short = policy("[[rules]]\nname = 'a'\nrefs = ['refs/**']\nrequire = true\nlifetime = '5m'\n", "enforced")
    assert asked(short, **lfs).lifetime_seconds == 300
    unknown: dict[str, Any] = {"what": UNKNOWN, "repository": ("alias", "none", None)}
    assert asked(policy(REFS), **unknown).required
    assert asked(policy(ROBOT, "enforced"), user="ci", **unknown).required


def test_an_unknown_name_gets_the_strictest_that_it_may_be() -> None:
    """ATTACK: an alias of a secret repository, with a mild rule for others above. EXPECTED: the search
    does not end at the mild one.
    """
    rules = policy(
        "[[rules]]\nname = 'a'\nrepositories = ['public/**']\nrequire = true\nlifetime = '30d'\n"
        "[[rules]]\nname = 'b'\nrepositories = ['secret/**']\nrequire = true\nlifetime = '5m'\n"
    )
    assert asked(rules, "read", what=UNKNOWN, repository=("alias", "none", None)).lifetime_seconds == 300


def test_rules_reach_passed_commands() -> None:
    """A command that is handed on counts as a push to it is not known what: of all that
    requires, the shortest lifetime.
    """
    rules = policy("[[rules]]\nname = 'all'\nrequire = true\nlifetime = '5m'\n")
    assert asked(rules, "", what=PASSED, repository=("", "none", None)).lifetime_seconds == 300
    exempt = policy("[[rules]]\nname = 'r'\nusers = ['ci']\nexempt = true\nuntil = 2027-06-30\n")
    assert asked(exempt, "", user="ci", what=PASSED).because == "pass-command"


def test_a_robot_that_is_exempt_everywhere_is_so_for_unknown_names() -> None:
    """Its rule names no repository, so it holds for whatever the name stands for;
    one that names some does not.
    """
    everywhere = policy(
        "[[rules]]\nname = 'r'\nusers = ['ci']\nexempt = true\nuntil = 2027-06-30\n", "enforced"
    )
    alias: dict[str, Any] = {"what": UNKNOWN, "repository": ("alias", "none", None), "elsewhere": 600}
    assert asked(everywhere, user="ci", **alias).exempt
    assert asked(everywhere, user="alice", **alias).required
    some = policy(
        "[[rules]]\nname = 'r'\nusers = ['ci']\nrepositories = ['x']\nexempt = true\nuntil = 2027-06-30\n",
        "enforced",
    )
    assert asked(some, user="ci", **alias).required


def test_the_ref_that_is_named_is_one_that_is_refused() -> None:
    """With several that demand, the strictest comes first: if anything is refused, that one is."""
    rules = policy(
        "[[rules]]\nname = 'long'\nrefs = ['main']\nrequire = true\nlifetime = '30d'\n"
        "[[rules]]\nname = 'short'\nrefs = ['refs/tags/*']\nrequire = true\nlifetime = '5m'\n"
    )
    answer = asked(rules, refs=(MAIN, TAG))
    assert answer.lifetime_seconds == 300
    assert answer.refs[0] == ("refs/tags/v1", "short")


@pytest.mark.parametrize(
    "line",
    [
        "until = 9999-12-31", "until = 9999-12-31T23:59:59-12:00", "from = ['::ffff:10.0.0.0/104']", "from = ['64:ff9b::/96']",
        "from = ['fe80::1%eth0']", "refs = ['heads/main']", "refs = ['tags/v*']", "refs = ['HEAD']", "refs = [' main']",
        "refs = ['!dev']", "refs = ['^main$']", "refs = ['release/.*']", "refs = ['Refs/heads/main']", "refs = ['a..b']",
        "refs = ['x.lock']", "repositories = ['team.git/app']", "repositories = ['*.git/x']", "repositories = ['~alice/x']",
        "repositories = ['-x']", "repositories = ['team/app ']", "repositories = ['!x']",
    ],
)  # fmt: skip
def test_what_could_never_match_is_a_fault(line: str) -> None:
    """With its line: a rule that looks right and matches nothing would be silently open."""
    with pytest.raises(ConfigurationError) as caught:
        parse(f"[git]\nenforcement = 'opt-in'\n[[rules]]\nname = 'a'\nrequire = true\n{line}\n".encode())
    assert [fault.line for fault in caught.value.faults] == [6]


def test_what_rules_a_rule_out_early_rules_out_none_that_fits() -> None:
    """Beginnings, what a name must hold, and the parts by user, operation and network only ever
    leave out what does not match.
    """
    chance = random.Random(11)
    parts = ["a", "b", "team", "*", "**", "x*", "*y", "te*m"]
    names = ["a", "a/b", "team", "team/a", "a/team/b", "xy", "x/y", "b/a/team/xy", ""]
    for _ in range(400):
        rules = [
            RuleTable(
                name=f"r{n}",
                repositories=[
                    Pattern("/".join(chance.choices(parts, k=chance.randint(1, 3))))
                    for _ in range(chance.randint(0, 2))
                ],
                users=[UserOrGroup(u) for u in chance.sample(["ann", "ben", "@g"], chance.randint(0, 2))],
                operations=chance.sample(["read", "push"], chance.randint(0, 2)),
                from_=[
                    Network(n) for n in chance.sample(["10.0.0.0/8", "192.0.2.0/24"], chance.randint(0, 1))
                ],
                require=chance.random() < 0.5,
            )
            for n in range(chance.randint(1, 8))
        ]
        compiled, groups = Rules(compiled_rules(rules)), {"g": "\nben\ncay\n"}
        everything = compiled.all()
        assert [rule[0] for rule in everything] == [rule.name for rule in rules]
        asked = Asked(
            chance.choice(["ann", "ben", "cay", ""]),
            chance.choice(["read", "push"]),
            chance.choice(names),
            chance.choice(["10.1.1.1", "192.0.2.9", ""]),
            5,
        )
        may = {rule[0] for rule in compiled.may_match(groups, asked)}
        for rule in everything:
            if matches(rule, groups, asked):
                assert rule[0] in may
                if rule[3] and asked.repository:
                    assert asked.repository.startswith(rule[3][0])
                    assert any(held in asked.repository for held in rule[3][2])
                    assert any(fits(pattern, asked.repository) for pattern in rule[3][1])


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("enrolled", [False, True])
@pytest.mark.parametrize("hardware", [False, True])
@pytest.mark.parametrize("limit", [None, 10])
@pytest.mark.parametrize("age", [None, -1, 0, 9, 10, 59, 60, 61])
def test_the_verdict_by_a_table_of_its_own(
    required: bool, enrolled: bool, hardware: bool, limit: int | None, age: int | None
) -> None:
    """128 rows against a model in other words: what is required, a session's age and
    limit, a hardware key's login.
    """
    got = verdict(
        Requirement(60 if required else None, "rule:x" if required else ""),
        enrolled=enrolled,
        freshness=Freshness(BY_KEY, age, None) if hardware else Freshness(1, age, limit),
    )
    lasts = 60 if limit is None or hardware else min(60, limit)
    fresh = age is not None and age in range(lasts)
    if not required:
        wanted = "not-required"
    elif hardware and fresh:
        wanted = "hardware-key"
    elif not enrolled:
        wanted = "enrolment-required"
    elif age is not None and age in range(60 if limit is None else min(60, limit)):
        wanted = "verified"
    else:
        wanted = "verification-required" if age is None else "verification-expired"
    assert got.reason == wanted
    assert got.allowed is (wanted in ("not-required", "hardware-key", "verified"))
