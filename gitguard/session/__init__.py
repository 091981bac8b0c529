"""2FA sessions: what they cover (scope), how old they are (moment), what the hook is told (grant).

A 2FA session is "this user, in this scope, verified at T"; never an SSH connection.
"""
