"""`/v1/shares`: links that show one view of the page to whoever has them, and nothing else of the workspace.

Receives a view and the questions that it asks, guarantees that the link's token may ask no others, gives the token
once. Read `questions.py`, then `routes.py`.
"""
