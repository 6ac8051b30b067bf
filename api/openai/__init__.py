"""The endpoints that OpenAI's clients call; only app imports them."""
