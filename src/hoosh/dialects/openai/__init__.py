"""What all of OpenAI's own dialects have in common, whatever the operation: no dialect itself."""
