"""The configuration as the gate wants it: from its compiled form while that is current, else compiled again.

Plain dialect: gate and hook load this file; the compiler itself is loaded only after a change.
"""

import posix

from gitguard.config.compiled import Config, read
from gitguard.machine.ownership import fault_on_the_way
from gitguard.message.reasons import Refusal


def load(path: str, compiled: str, hook: str) -> Config:
    """The configuration at `path`, from its `compiled` form if that is current, else compiled again.

    `hook` is the file whose bytes a live hook has; it counts only when compiling.

    Raises Refusal("config-invalid") if the configuration cannot be believed, read or understood.
    """
    uid = posix.geteuid()
    if fault := fault_on_the_way(path, uid):
        raise Refusal("config-invalid", fault)
    try:
        entry = posix.stat(path)
    except OSError as error:
        raise Refusal("config-invalid", f"{path}: {error.strerror}") from None
    config = read(compiled, path, entry, uid)
    if config is None:
        from gitguard.config.compile import compile_file

        config = compile_file(path, compiled, hook)
    if config.keeper != uid:
        whose = f"the Git account {config.account}" if config.keeper == config.uid else "the agent's account"
        raise Refusal("config-invalid", f"runs as uid {uid}, but {whose} is {config.keeper}")
    if fault := fault_on_the_way(config.state, uid):
        raise Refusal("config-invalid", fault)
    return config


def last_known(path: str, compiled: str) -> "Config | None":
    """The configuration as it last was, for telling and logging a refusal; never for a decision."""
    return read(compiled, path, None, posix.geteuid())
