"""The second factor: codes, recovery codes, enrolment, verification, throttle, secrets at rest."""
