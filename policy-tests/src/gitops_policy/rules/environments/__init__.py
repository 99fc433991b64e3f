"""Rules about environments and what moves between them."""
