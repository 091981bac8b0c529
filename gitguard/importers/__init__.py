"""Lists of other programs, read: people, keys, second factors. Pure: what becomes of them is action/importing.py's."""
