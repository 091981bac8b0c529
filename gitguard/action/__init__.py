"""What people and admins do: one transaction and what must follow it, both done when a function returns.

Nothing here prints or asks. What follows (running transfers, the key file) is finished before the caller
says a word, so it happens whether or not anyone listens; what could not follow is part of the result.
"""
