"""What a user's name, a fingerprint and a public key are. Pure."""
