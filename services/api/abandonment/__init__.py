"""Where customers leave, when, after what and with which friction.

Receives a phase and a span of days, guarantees that every row adds up and that a difference that the numbers do not
show is called that, gives rates against a baseline. Read `answers.py`, then `queries.py`.
"""
