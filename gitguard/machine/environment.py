"""The environment that our programs start in and pass on. Plain dialect: the gate loads this file."""

PATH = "/usr/local/bin:/usr/bin:/bin"  # where our own programs look for Git and its helpers

# These can load or run code in the shell or the loader before our first instruction. Mere tuning
# (MALLOC_ARENA_MAX, GLIBC_TUNABLES) is the server's own business; PYTHON... is ignored by a launcher with -I.
# Source: ld.so(8), sh(1), bash(1).
_EARLY = ("BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "OPENSSL_CONF", "GCONV_PATH", "LOCPATH", "NLSPATH")
_EARLY_PREFIXES = ("LD_", "BASH_FUNC_")
EARLY_SOURCES = (
    "AcceptEnv or SetEnv in sshd's configuration, PAM (/etc/environment, /etc/security/pam_env.conf), or"
    " ~/.ssh/environment"
)


def early_variable(environ: "dict[str, str]") -> str:
    """The first variable that acts before any gate does, "" if there is none."""
    for name in environ:
        if is_early(name):
            return name
    return ""


def is_early(name: str) -> bool:
    """Whether a variable of this `name` acts before any gate does; doctor asks the same."""
    return name in _EARLY or name.startswith(_EARLY_PREFIXES)
