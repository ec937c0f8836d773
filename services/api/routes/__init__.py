"""The HTTP surface, one module per subject.

Receives requests whose token `auth.py` has checked, guarantees the shapes of `schemas.py`, gives responses.
Read `phases.py`, `customers.py`, then `page.py`.
"""
