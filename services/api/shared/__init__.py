"""What every feature uses: database, workspace, parameters, cursors, answers and problems. It imports no feature.

Receives requests' parameters and rows, guarantees that every answer's type is its OpenAPI schema, gives the parts that
endpoints are made of. Read `answers.py`, `responses.py` and `openapi.py`, then `workspace.py`.
"""
