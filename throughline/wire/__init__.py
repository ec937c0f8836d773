"""The contract between ingest and stager: protobuf messages of `proto/`, generated under `v1/`.

Receives values, gives bytes and back; no rule lives here. Only `codec.py` touches the generated code.
Read `codec.py` next, then `proto/throughline/v1/touchpoint.proto`.
"""
