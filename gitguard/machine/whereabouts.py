"""What lies where, as the Git account sees it: a way through its home is closed to other accounts."""

from __future__ import annotations

import os

from gitguard.machine.errand import errand


@errand
def resolved(paths: list[str]) -> list[str]:
    """Each of `paths` without links, in their order."""
    return [os.path.realpath(path) for path in paths]


@errand
def there(paths: list[str]) -> list[str]:
    """Those of `paths` at which anything lies."""
    return [path for path in paths if os.path.lexists(path)]


@errand
def folders(paths: list[str]) -> list[str]:
    """Those of `paths` that are folders."""
    return [path for path in paths if os.path.isdir(path)]
