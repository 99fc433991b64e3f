"""What a change of a repository changes in the rendered manifests."""
