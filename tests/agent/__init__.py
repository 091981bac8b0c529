"""The agent, and the clients that ask it."""
