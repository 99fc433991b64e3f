"""Several server processes behind one listening socket, and what became of those that died."""
