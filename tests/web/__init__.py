"""The page, really served."""
