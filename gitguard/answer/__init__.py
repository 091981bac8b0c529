"""How past answers are read back: the access log, its rotations, and repeats folded."""
