"""The phase models of a workspace, and the phases of one.

Receives a model's name, guarantees that only live models are served, gives models and phases. Read `answers.py`.
"""
