"""Reading: from files and kustomizations to the objects of a build, with their places."""
