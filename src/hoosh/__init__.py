"""hoosh: one OpenAI-compatible endpoint in front of local and remote models.

The client's names are here; their modules are imported when a name is first asked for.
"""

from importlib import import_module

TYPE_CHECKING = False  # type checkers know the name; importing `typing` for it would be most of this import

__version__ = "0.1.0"
__all__ = [
    "APIConnectionError",
    "APIError",
    "APIStatusError",
    "APIStreamError",
    "APITimeoutError",
    "AsyncHooshClient",
    "AuthenticationError",
    "BadRequestError",
    "BudgetExceededError",
    "HooshClient",
    "InternalServerError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "Timeouts",
    "__version__",
]

_MODULES = {"HooshClient": "sync", "AsyncHooshClient": "aio", "Timeouts": "types"}

if TYPE_CHECKING:
    from hoosh.client.aio import AsyncHooshClient
    from hoosh.client.errors import (
        APIConnectionError,
        APIError,
        APIStatusError,
        APIStreamError,
        APITimeoutError,
        AuthenticationError,
        BadRequestError,
        BudgetExceededError,
        InternalServerError,
        NotFoundError,
        PermissionDeniedError,
        RateLimitError,
    )
    from hoosh.client.sync import HooshClient
    from hoosh.client.types import Timeouts
else:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"hoosh.client.{_MODULES.get(name, 'errors')}"), name)
