"""Which inference runs when, where and with which others in one batch."""
