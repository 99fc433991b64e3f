"""APIs: which kinds and versions exist, and what their schemas accept."""
