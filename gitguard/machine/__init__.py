"""The machine: owners and modes, whole files, processes, accounts. It knows nothing of gitguard."""
