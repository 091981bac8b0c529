"""A security key made of software, behind ssh's own provider interface, for tests of hardware keys."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab.person import Person
from lab.run import run

SOURCE = Path(__file__).parent / "software.c"
TOUCH, VERIFIED = 1, 4  # what the key says of its person, as flags of FIDO's authenticator data


class Authenticator:
    """The provider, built into `folder`."""

    def __init__(self, folder: Path) -> None:
        self.library = folder / "authenticator.so"
        command = ["cc", "-shared", "-fPIC", "-O2", "-o", str(self.library), str(SOURCE)]
        subprocess.run([*command, "-l:libcrypto.so.3"], check=True)

    def new_key(self, folder: Path, name: str) -> Person:
        """A person whose key lies in this authenticator."""
        folder.mkdir(exist_ok=True)
        path = folder / name
        run(
            ["ssh-keygen", "-q", "-t", "ed25519-sk", "-w", str(self.library), "-N", "", "-C", f"{name}@key", "-f", str(path)]
        )  # fmt: skip
        return Person(name, path, run(["ssh-keygen", "-lf", str(path)]).out.split()[1])

    @property
    def options(self) -> tuple[str, ...]:
        """What ssh needs to use it."""
        return ("-o", f"SecurityKeyProvider={self.library}")

    @staticmethod
    def claiming(flags: int) -> dict[str, str]:
        """The environment in which it claims `flags`."""
        return {"GITGUARD_LAB_FLAGS": str(flags)}
