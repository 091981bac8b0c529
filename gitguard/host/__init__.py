"""What gitguard writes for sshd, Git and systemd: key lines, launchers, units, init; and what runs of it."""
