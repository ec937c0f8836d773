"""The HTTP surface, one module per subject.

Receives requests whose token `auth.py` has checked, guarantees the shapes of `schemas.py`, gives responses.
Read `models.py`, `phases.py`, `history.py`, `customers.py`, `events.py`, `rejected.py`, then `page.py`.
"""
