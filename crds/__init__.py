"""The contract between api, controller and worker: imports pydantic and the standard library only."""
