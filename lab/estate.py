"""Two Git servers, or more, that share one PostgreSQL store: each its own sshd, agent, keys and head file."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any

import tomli_w

from lab.agent import Agent
from lab.server import Direct, Server


class Estate:
    """`count` servers below `folder`, on the store at `url`. As a context manager all of it ends."""

    def __init__(
        self, folder: Path, url: str, count: int = 2, kind: type[Server] = Server, password_file: str = ""
    ) -> None:
        self.folder = folder
        self.url = url
        self.password_file = password_file
        self.servers = [kind(folder / f"server{number}") for number in range(1, count + 1)]
        self.agents: list[Agent] = []

    def __enter__(self) -> Estate:
        for server in self.servers:
            self.join(server)
        return self

    def __exit__(self, *_: object) -> None:
        for agent in self.agents:
            agent.__exit__()
        for server in self.servers:
            server.stop()

    def join(self, server: Server) -> Agent:
        """Install `server`, on the store that the others use; start its agent and its sshd."""
        first = self.servers[0]
        agent = Agent(server)
        self.write(server, agent)
        if server is not first:  # what an admin copies from the first: the key of the secrets
            target = server.home / "state" / "secret.keys"
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copy2(first.home / "state" / "secret.keys", target)
        server.admin("init")
        agent.start()
        self.agents.append(agent)
        server.start()
        return agent

    def write(self, server: Server, agent: Agent) -> None:
        """The configuration of `server`, before anything is installed."""
        tables: dict[str, Any] = {
            "host": {"name": "127.0.0.1", "port": server.port, "account": server.account},
            "paths": {
                "repositories": str(server.repositories),
                "authorized_keys": str(server.key_file),
                "state": str(server.home / "state"),
                "access_log": str(server.access_log),
            },
            "store": {"url": self.url},
            "agent": {"socket": str(agent.socket)},
            "git": {"enforcement": "enforced"},
        }
        if self.password_file:
            tables["store"]["password_file"] = self.password_file
        server.home.mkdir(parents=True, exist_ok=True)
        server.home.chmod(0o755)
        server.config.write_text(tomli_w.dumps(tables))

    def configure(self, **tables: dict[str, object]) -> None:
        """Change keys of every server's configuration."""
        for server in self.servers:
            data = tomllib.loads(server.config.read_text())
            for table, values in tables.items():
                data.setdefault(table, {}).update(values)
            server.write(tomli_w.dumps(data))


__all__ = ["Direct", "Estate", "Server"]
