"""Dialects: the protocols of SDK families, each a package that translates requests into events. Pure.

base.py is the contract: a dialect receives a `Request`, returns a `ParsedRequest`, and its `DialectSpec` describes it.
registry.py lists all dialects; split.py, consent.py and web.py are what several have in common.
"""
