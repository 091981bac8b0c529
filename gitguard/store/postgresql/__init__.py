"""The store in a PostgreSQL database. Loaded only where one is used: its driver is heavy."""
