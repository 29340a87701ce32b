"""Sessions and dialogues with real servers, most of them misbehaving."""
