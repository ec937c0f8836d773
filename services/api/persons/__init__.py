"""`/v1/erasures` and `/v1/exports`: a person's rights, for tokens of the scope admin.

An erasure becomes a record of the log, which a stager carries out; an export is read page by page. Read
`routes.py` next.
"""
