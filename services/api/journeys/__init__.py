"""One customer's journey, by any of the customer's ids.

Receives an id, guarantees that the answer is of one state of the database, gives where the customer stands, every
transition with its cause, and a page of touchpoints as they were sent. Read `answers.py`, `touchpoints.py`, then
`queries.py`.
"""
