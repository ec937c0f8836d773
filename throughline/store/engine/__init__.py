"""How Throughline talks to PostgreSQL: the pool, transactions, statements over arrays, failures and readiness."""
