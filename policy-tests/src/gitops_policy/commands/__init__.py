"""The subcommands of `gitops-policy`: each adds its parser, which names the function to run."""
