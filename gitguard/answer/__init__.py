"""How an answer leaves: refusals, held pushes, the access log and its way back, what Git is started with."""
