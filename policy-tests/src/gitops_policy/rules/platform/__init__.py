"""Rules about jobs, databases, storage, certificates and backups."""
