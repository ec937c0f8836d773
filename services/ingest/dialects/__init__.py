"""Dialects: the protocols of SDK families, each a package that translates requests into events. Pure.

base.py is the contract: a dialect receives a `Request`, returns a `ParsedRequest` and describes itself in a `DialectSpec`.
registry.py lists all dialects; split.py, consent.py and web.py are what several have in common.
"""
