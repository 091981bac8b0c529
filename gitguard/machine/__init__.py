"""The machine: owners and modes, files that are whole or not there, processes, accounts. It knows nothing of gitguard."""
