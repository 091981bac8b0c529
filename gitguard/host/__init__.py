"""The machine: owners and modes, processes, sshd's key file, launchers and hooks on disk."""
