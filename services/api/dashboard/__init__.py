"""The page at `/`: its files, and the route that serves them.

Receives requests of browsers, guarantees that the page loads nothing from elsewhere, gives the files and, on the
machine that serves them, a read token. Read `page.py`, then `app.js`.
"""
