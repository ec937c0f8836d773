"""`python -m services.ingest`."""

from services.ingest.serve import serve

if __name__ == "__main__":
    serve()
