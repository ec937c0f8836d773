"""Who may write and read: workspaces, sources, their settings, write keys and tokens; and who administered what.

Everything runs in the caller's transaction. Names are unique where people point with them; a key or token is shown
once, when it is made. `keys.py` is what ingest and api ask, the rest is what people and scripts change.
"""
