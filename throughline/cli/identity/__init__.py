"""`throughline identity`: whose an id is and why, an operator's rulings on pairs of ids, and a person's rights.

Receives ids; gives tables and JSON, or puts a record on the log and waits for a stager to apply it. Read `commands.py`,
then `person.py`.
"""
