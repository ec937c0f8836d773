"""The counts of the phases: live, of a past moment, and as a stream; and the values that their filters take.

Receives filters, guarantees that all numbers of an answer are of one state of the database, gives counts with an ETag.
Read `answers.py`, then `routes.py`.
"""
