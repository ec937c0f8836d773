"""`python -m services.ingest`."""

from services.ingest.http.direct import IngestHttpProtocol
from services.ingest.process.supervisor import serve

if __name__ == "__main__":
    serve(IngestHttpProtocol)
