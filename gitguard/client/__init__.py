"""Entry: the workstation. Finds the server in a clone's SSH remote and runs the same verbs there over ssh.

Standard library and click only; works on macOS and Windows too.
"""
