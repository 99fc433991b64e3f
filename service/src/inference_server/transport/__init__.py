"""How requests arrive: the fast lane of inferences, everything else through ASGI."""
