"""Rules about any object: identity, schema, labels."""
