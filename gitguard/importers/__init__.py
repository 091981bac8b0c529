"""Lists of other programs, read: people, keys, second factors. Pure: action/importing.py applies them."""
