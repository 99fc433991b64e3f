"""One inference, whatever protocol brought it: admitted, read, scheduled, answered."""
