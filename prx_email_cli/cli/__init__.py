"""What a person types: thin commands that parse, call one function and render its result."""
