"""Repositories: from a client's spelling to the one directory, and the registry with its toggles."""
