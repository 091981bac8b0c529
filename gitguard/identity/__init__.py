"""Users, their keys, and the invites that let them enrol."""
