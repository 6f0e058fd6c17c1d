"""What a JSON object is between bytes and the words of core."""

from typing import Any

JSON = dict[str, Any]
