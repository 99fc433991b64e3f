"""Policies for Argo and Kustomize repositories."""
