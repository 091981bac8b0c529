"""Entry: the push check, Git's pre-receive hook. The second line of defence, and the place of ref rules."""
