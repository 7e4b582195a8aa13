"""Servers for a browser on the same machine."""
