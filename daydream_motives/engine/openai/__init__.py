"""What a server that speaks OpenAI's protocol is told, and what it says."""
