"""Is the gate really in the way? Each file looks at one part of the machine and yields findings.

A finding is `ok`, a `note` (worth knowing, nothing open), or a `gap` (something is open, or closed by
accident), with its remedy. Nothing is changed, and what cannot be looked at is a gap, never silence.
"""
