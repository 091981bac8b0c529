"""gitguard: a second factor for Git over SSH.

The gate imports this package on every request, so this file stays empty but for this docstring.
"""
