"""The docs say what the code does: commands, reasons, exit statuses, keys, files, tests that they name."""

from __future__ import annotations

import ast
import re
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path

import click
import msgspec
import pytest
import reference
from click import Group
from dist import dist, tracked

import man
from gitguard.__main__ import root
from gitguard.action.expectations import read_expectations, tried
from gitguard.cli.admin import admin
from gitguard.config.parse import parse
from gitguard.config.rule_notes import rule_notes
from gitguard.config.schema import Settings
from gitguard.host.install import IDLE_SECONDS, SNIPPET
from gitguard.host.launcher import example_hook
from gitguard.host.units import example_units
from gitguard.verbs import VERBS
from tests.commands import commands as every_command

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


def test_the_reference_is_written_from_the_code() -> None:
    """docs/reference.md is exactly what `make reference` writes."""
    assert reference.PAGE.read_text() == reference.page()


def test_the_man_pages_are_written_from_the_code() -> None:
    """The same texts as `--help`; `make reference` writes both."""
    pages = man.pages()
    assert {path.name for path in man.FOLDER.iterdir()} == set(pages)
    for name, text in pages.items():
        assert (man.FOLDER / name).read_text() == text, f"make reference renews {name}"
    assert "reset the second factor" not in pages["gitguard.1"]
    for words in (r".B user add [OPTIONS]", r".B store restore FILE", r".B config edit"):
        assert words.replace(" [OPTIONS]", "") in pages["gitguard-admin.8"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_files_are_there(page: Path) -> None:
    """Every relative link, and every file of the project that a page names, exists."""
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / target).exists(), target
    for name in re.findall(r"`((?:gitguard|tests|docs|etc|hooks|lab|tools|bench)/[\w./-]+)`", text):
        if name != "hooks/pre-receive.d/":  # a repository's, not ours
            assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_docs_exist(page: Path) -> None:
    """Every `gitguard admin ...` that a page tells people to type is a command, with options that it has."""
    for line in re.findall(r"gitguard admin ([a-z][^\n`|]*)", page.read_text()):
        words = line.split()
        command: click.Command = admin
        while isinstance(command, Group) and words:
            name = words.pop(0).strip(".,;:)")
            found = command.get_command(click.Context(command), name)
            assert found is not None, f"gitguard admin {line}"
            command = found
        flags = {flag for parameter in command.params for flag in parameter.opts}
        for word in words:
            if word == "--":
                break
            if word.startswith("--"):
                assert word.strip(".,;:)").partition("=")[0] in flags, f"gitguard admin {line}: {word}"


def test_the_first_screen_of_the_readme() -> None:
    """The transcript, and the two commands that anyone can try, stand before any installation talk."""
    head = "\n".join((ROOT / "README.md").read_text().splitlines()[:24])
    assert "make demo" in head
    assert "make test" in head
    assert "[verification-required]" in head
    assert "apt-get" not in head


def test_one_install_block() -> None:
    """README and the page of operations have the same lines, eight of them; `lab.operations` types them."""
    found = [
        re.findall(r"(?:^    .*\n)+", text, re.MULTILINE)
        for text in (
            (ROOT / "README.md").read_text().partition("\n## Install\n")[2],
            (ROOT / "docs" / "operations.md").read_text().partition("\n## Install on an empty server\n")[2],
        )
    ]
    assert found[0][0] == found[1][0]
    assert len(found[0][0].splitlines()) == 8


def test_main_has_a_version_that_no_release_has() -> None:
    """An upgrade from a release to what is built here is one; the changelog's top is what is not released."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    headings = re.findall(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    if headings[0] == "Unreleased":
        assert version.endswith(".dev0")
        assert version.removesuffix(".dev0") not in headings
    else:
        assert version == headings[0]


def test_the_release_carries_what_the_pages_name(tmp_path: Path) -> None:
    """O2: wheel and sdist hold etc/, docs/, requirements/ and the man pages;
    the sdist is the whole project.
    """
    sdist, wheel = dist(tmp_path)
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert set(tracked()) <= inside
    with zipfile.ZipFile(wheel) as packed:
        names = {name.partition(".data/data/share/gitguard/")[2] for name in packed.namelist()}
        modes = {name: packed.getinfo(name).external_attr >> 16 for name in packed.namelist()}
    wanted = [name for name in tracked() if name.startswith(("etc/", "docs/", "README"))]
    assert {*wanted, "requirements/server.txt", "requirements/web.txt"} <= names
    assert all(mode & 0o111 for name, mode in modes.items() if "/etc/notify/" in name)


def test_the_hook_that_readers_see_is_the_hook_that_init_writes() -> None:
    """hooks/pre-receive is the launcher of a system installation, byte for byte."""
    assert (ROOT / "hooks" / "pre-receive").read_bytes() == example_hook()


def test_the_snippet_that_readers_see_is_the_one_that_init_writes() -> None:
    """etc/sshd_config.snippet is what init writes for the account git."""
    idle = f"    ChannelTimeout session:command={IDLE_SECONDS // 60}m\n"
    written = SNIPPET.format(
        account="git",
        keys_file="/home/git/.ssh/authorized_keys",
        keys_command="AuthorizedKeysCommand none",
        idle=idle,
    )
    assert (ROOT / "etc" / "sshd_config.snippet").read_text() == written


def test_make_help_names_every_target() -> None:
    """`make help` is made from the targets' own comments."""
    shown = subprocess.run(
        ["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    targets = re.findall(r"^\.PHONY: (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in set(targets) - {
        "sshd",
        "gitolite",
        "gcrypt",
        "logrotate",
        "compiler",
        "chromium",
        "fronts",
        "postgresql",
    }:
        assert f"\n{target} " in f"\n{shown}", target


def test_dependencies_are_pinned_by_hash_alone() -> None:
    """Every pinned package carries hashes, and no address is written down."""
    text = (ROOT / "requirements" / "dev.txt").read_text()
    assert "://" not in text
    blocks = re.split(r"\n(?=[a-z0-9])", text)
    assert all("--hash=sha256:" in block for block in blocks if re.match(r"[a-z0-9]", block))


def test_every_test_says_its_rule() -> None:
    """Each test's docstring is the rule that it proves."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_modules_are_small() -> None:
    """A module that grows past four hundred lines usually holds two ideas."""
    for path in (ROOT / "gitguard").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 400, path


def test_the_units_that_readers_see_are_those_that_init_writes() -> None:
    """etc/systemd is what init writes for the account git."""
    shown = {path.name: path.read_bytes() for path in (ROOT / "etc" / "systemd").iterdir()}
    assert shown == example_units()


def test_every_unit_runs_a_command_that_is_there() -> None:
    """The timers and the socket of etc/systemd start what the reference names, as the
    right account; a page names each.
    """
    page = "".join((ROOT / "docs" / name).read_text() for name in ("operations.md", "web.md", "agent.md"))
    reference_page = (ROOT / "docs" / "reference.md").read_text()
    units = sorted((ROOT / "etc" / "systemd").glob("*.service"))
    assert len(units) == 7
    for unit in units:
        text = unit.read_text()
        found = re.search(r"/usr/local/bin/gitguard admin ([a-z-]+(?: [a-z]+)?)", text)
        assert found is not None
        assert re.search(rf"\| `{re.escape(found[1])}[ `]", reference_page), unit.name
        timer = (
            unit.with_suffix(".timer") if unit.with_suffix(".timer").exists() else unit.with_suffix(".socket")
        )
        assert f"systemctl enable --now {timer.name}" in timer.read_text() + text
        assert timer.name in page
    of_git = [unit.stem for unit in units if "User=git" in unit.read_text()]
    assert of_git == [
        "gitguard-accounts",
        "gitguard-agent",
        "gitguard-helper",
        "gitguard-sweep",
        "gitguard-web",
    ]


def test_the_page_of_policy_says_what_the_code_does() -> None:
    """Twenty sentences; every configuration on the page is one, and the row of expectations is one too."""
    page = (ROOT / "docs" / "policy.md").read_text()
    numbers = [int(number) for number in re.findall(r"^\*\*(\d+)\. ", page, re.MULTILINE)]
    assert numbers == list(range(1, 21))
    for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL):
        if "[[expect]]" in block:
            assert read_expectations(block.encode(), "page")
        else:
            assert parse((block if "[git]" in block else f"[git]\nenforcement = 'rules'\n{block}").encode())


def test_the_policy_for_a_company_is_as_expected() -> None:
    """etc/policy: the file is in order, nothing in it is odd, and every expectation holds."""
    folder = ROOT / "etc" / "policy"
    settings = parse((folder / "gitguard.toml").read_bytes())
    rows = read_expectations((folder / "expectations.toml").read_bytes(), "expectations.toml")
    moment = 1_798_761_600  # 2027-01-01
    assert [outcome.differs for outcome in tried(settings, rows, moment) if outcome.differs] == []
    assert rule_notes(settings, moment) == []
    named = {str(row.wanted.get("rule")) for row in rows}
    assert {rule.name for rule in settings.rules} - named <= {"auditors", "robot-release"}


def test_what_the_reference_says_in_prose_is_there() -> None:
    """D1: each key, verb and option that the prose names is one; nothing that is there is said not to be."""
    prose = (ROOT / "tools" / "reference.md").read_text()
    settings = Settings()
    for table, key in re.findall(r"`\[(\w+)\] (\w+)`", prose):
        fields = {field.name for field in msgspec.structs.fields(type(getattr(settings, table)))}
        assert key in fields, (table, key)
    words = {verb.name for verb in VERBS} | {alias for verb in VERBS for alias in verb.aliases}
    for verb in re.findall(r"`2fa ([a-z-]+)", prose):
        assert verb in words | {"help", "VERB"}, verb
    told = (ROOT / "docs" / "reference.md").read_text()
    options = {
        option
        for _, command in every_command(root(), "gitguard")
        for one in command.params
        for option in one.opts
    }
    for option in re.findall(r"`(?:[a-z|]+ )*(--[a-z-]+)", prose):
        assert option in options, option
    assert "not in this version" not in prose
    assert "{{" not in told, "every slot is filled"


def test_architecture_names_files_that_are_there() -> None:
    """Every path of the page exists, below gitguard/ or at the top; and there is a file of
    every name without a folder.
    """
    text = (ROOT / "docs" / "architecture.md").read_text()
    names = {path.name for path in (ROOT / "gitguard").rglob("*.*")} | {
        path.name for path in (ROOT / "lab").iterdir()
    }
    for name in re.findall(r"`((?:[a-z_]+/)*[a-z_.]+\.(?:py|sql|toml))`", text):
        there = any((ROOT / base / name).exists() for base in ("gitguard", ""))
        assert there or name in names, name
