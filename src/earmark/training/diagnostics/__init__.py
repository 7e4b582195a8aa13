"""Checks of a network while it trains: what is looked at, when it is an alarm, what that usually means."""
