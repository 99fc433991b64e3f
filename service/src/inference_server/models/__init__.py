"""Models on disk and in memory: found, verified, loaded, watched, unloaded."""
