"""The web page: the same actions as over SSH, for a browser. No rule and no transaction is in this room."""
