"""A throw-away server on loopback: real sshd, real git, real keys. The demo,
the tests and the bench use it.
"""
