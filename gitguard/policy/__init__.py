"""Who must have verified, how recently: pure functions of values. No clock, no input, no output."""
