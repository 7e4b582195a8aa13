"""The stories of the commands: the only room that composes the others."""
