"""The node's face to programs: JSON-RPC 2.0 over HTTP and WebSocket, a REST mirror, and their documents.

One registry of declared methods (`declare`) feeds dispatch, `rpc.discover`, `/openapi.json` and the
REST paths, so that no description can differ from what is served.
"""
