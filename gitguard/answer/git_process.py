"""What runs after the gate, and what it gets to see: an environment built from an allow-list.

MUST: the client's bytes end here. The command is rebuilt from the parsed request, since two parsers
must not disagree about one string. Plain dialect: the gate loads this file.
"""

import posix

from gitguard.answer.access_log import append, line_of
from gitguard.config.compiled import Config
from gitguard.decision.command import quote
from gitguard.decision.decision import Decision
from gitguard.machine.environment import PATH
from gitguard.machine.process import parent_and_start
from gitguard.message.reasons import Refusal
from gitguard.repository.git_config import HOOKS_PATH, hooks_may_lie_elsewhere
from gitguard.session.grant import ENVIRONMENT_NAME, PUSH, Grant, read_key, seal


def program(
    decision: Decision, config: Config, id_: str, process: int
) -> "tuple[str, list[str], dict[str, str]]":
    """(file, argv, environment) that `process` is to become. Raises Refusal if it cannot be
    prepared, or was not allowed.
    """
    verdict = decision.verdict
    if verdict is None or not verdict.allowed:
        raise Refusal("internal-error", "allowed without a verdict")
    file, argv, environment = _program(decision, config, id_, process)
    if not posix.access(file, posix.X_OK):
        raise Refusal("internal-error", f"{file} cannot be run")
    return file, argv, environment


def log_allowed(decision: Decision, config: Config, id_: str) -> None:
    """The one line of what is allowed. Raises Refusal where that must not pass without it."""
    try:
        append(config, line_of(decision, id_))
    except Refusal:
        # What requires no proof may continue unlogged; what does must be explainable afterwards.
        if decision.requirement.required:
            raise


def _program(
    decision: Decision, config: Config, id_: str, process: int
) -> "tuple[str, list[str], dict[str, str]]":
    request, command = decision.request, decision.command
    if command is None:
        raise Refusal("internal-error", "no command to run")
    environment = {
        "PATH": PATH,
        "HOME": config.home,
        "USER": config.account,
        "LOGNAME": config.account,
        "LANG": "C.UTF-8",
        "SSH_CONNECTION": request.connection,
        "GITGUARD_DECISION": id_,
        "GITGUARD_USER": request.user,
        "GITGUARD_KEY": request.credential.text,
        "GITGUARD_SESSION": str(decision.session) if decision.requirement.required else "0",
        "GITGUARD_REPOSITORY": decision.name,
        "GITGUARD_DIRECTORY": decision.directory,
        "GITGUARD_OPERATION": decision.operation,
        "GITGUARD_STATE": config.state,
        "GITGUARD_PID": str(process),
    }
    if request.protocol:
        environment["GIT_PROTOCOL"] = request.protocol
    if command.verb == "git-receive-pack":
        environment[ENVIRONMENT_NAME] = _grant(decision, config, id_, process)
        plain = {name: environment[name] for name in ("PATH", "HOME", "USER", "LANG")}
        directory = decision.directory
        if directory and hooks_may_lie_elsewhere(directory, config.git_configs, plain):
            # Command scope beats every configuration file. It also reaches what later hooks start elsewhere,
            # so it is set only where a file that Git reads could point the hooks away.
            environment["GIT_CONFIG_COUNT"] = "1"
            environment["GIT_CONFIG_KEY_0"] = HOOKS_PATH
            environment["GIT_CONFIG_VALUE_0"] = decision.directory + "/hooks"
    if request.downstream:
        words = (decision.name, *command.words) if command.names_repository else command.words
        environment["SSH_ORIGINAL_COMMAND"] = " ".join((command.verb, *(quote(word) for word in words)))
        return request.downstream[0], list(request.downstream), environment
    if command.kind != "git" or not decision.directory:
        raise Refusal(
            "unknown-command",
            f"{command.verb} needs a program behind the gate",
            # Newer git-lfs looks for this form, and then continues over HTTP.
            text=f"{command.verb}: not found; {command.verb} is not served here",
        )
    line = f"{command.verb} {quote(decision.directory)}"
    return config.git_shell, ["git-shell", "-c", line], environment


def _grant(decision: Decision, config: Config, id_: str, process: int) -> str:
    """The grant for the push that `process` becomes: `exec` keeps pid and start time."""
    request = decision.request
    try:
        secret = read_key(config.grant_key, config.keeper)
        directory = decision.directory
        age = decision.session_age_seconds
        grant = Grant(
            kind=PUSH,
            user=request.user,
            credential=request.credential,
            address=request.address,
            directory=directory,
            session=decision.session,
            age_seconds=-1 if age is None else age,
            at=request.moment.at,
            pid=process,
            started=parent_and_start(process)[1],
            decision=id_,
        )
        return seal(grant, secret)
    except (OSError, ValueError) as error:
        raise Refusal("store-unavailable", f"{config.grant_key}: {error}") from None
