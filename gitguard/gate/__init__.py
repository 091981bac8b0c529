"""Entry: the forced command. Environment and argv into a value, a decision, then a refusal or Git."""
