"""Ollama's own API, both faces.

chat.py, generate.py and embed.py speak to a server. For clients, parse.py reads requests, encode.py writes replies, and
client.py is the dialects that they make; embedding.py is all of that for vectors. Whoever serves clients imports these.
"""

from hoosh.dialects.ollama.words import LOSSES as LOSSES
