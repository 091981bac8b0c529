"""One story per attack. Each says ATTACK and EXPECTED at the top; the letters are the case they tell."""
