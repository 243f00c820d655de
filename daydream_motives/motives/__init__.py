"""From character and situation to context, and from a model's text to ranked purposes."""
