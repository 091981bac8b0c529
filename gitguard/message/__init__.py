"""What people and machines are told: reasons, exit statuses, sentences, moments.

Values only: nothing here reads a clock, a file or the environment.
"""
