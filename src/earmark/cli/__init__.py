"""The commands. Each module is light: what a command needs is imported when it runs."""
