"""The kubelet of the fake nodes: runs each scheduled pod as processes of this machine."""
