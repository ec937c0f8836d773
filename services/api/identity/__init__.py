"""Ids with links that were not made, because a customer or an id has as many as it may have.

Receives a page's position, guarantees that the list is bounded, gives the ids newest first. Read `answers.py`.
"""
