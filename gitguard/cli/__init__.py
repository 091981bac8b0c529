"""Entry: the server's command lines. `over_ssh` serves `ssh git@HOST 2fa ...`, `admin` the server's admin."""
