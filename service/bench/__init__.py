"""The service beside its peers, and against the limits that were asked for."""
