"""What openapi.json and the docs page say beyond the routes; only app imports it."""
