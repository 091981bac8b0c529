"""The agent: a resident process that answers gate and hook from what it has at hand. It decides by the same
code.
"""
