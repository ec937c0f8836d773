"""What a reader of any number needs to know of the workspace: its name, time zone and default model.

Receives a token, guarantees one consistent read, gives one object. Read `answers.py`.
"""
