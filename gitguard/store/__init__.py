"""The store: one contract (contract.py), its SQLite keeper, numbered migrations, the audit chain."""
