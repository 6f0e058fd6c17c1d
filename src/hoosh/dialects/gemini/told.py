"""
Errors as a client is told them.

Source: https://ai.google.dev/gemini-api/docs/troubleshooting and google.rpc's error_details.proto (read 2026-11).
"""

from types import MappingProxyType

import msgspec

from hoosh.core.errors import HooshError
from hoosh.dialects import JSON, one_line

_STATUS = MappingProxyType(
    {
        400: "INVALID_ARGUMENT",
        401: "UNAUTHENTICATED",
        402: "FAILED_PRECONDITION",
        403: "PERMISSION_DENIED",
        404: "NOT_FOUND",
        405: "UNIMPLEMENTED",
        408: "DEADLINE_EXCEEDED",
        409: "ABORTED",
        413: "INVALID_ARGUMENT",
        415: "INVALID_ARGUMENT",
        422: "INVALID_ARGUMENT",
        429: "RESOURCE_EXHAUSTED",
        499: "CANCELLED",
        500: "INTERNAL",
        501: "UNIMPLEMENTED",
        502: "UNAVAILABLE",
        503: "UNAVAILABLE",
        504: "DEADLINE_EXCEEDED",
    }
)
_TYPE = "type.googleapis.com/google.rpc."
_encode = msgspec.json.Encoder().encode


def fault(error: HooshError, request_id: str) -> bytes:
    status = _STATUS.get(error.status) or ("INVALID_ARGUMENT" if error.status < 500 else "INTERNAL")
    details: list[JSON] = [
        {"@type": f"{_TYPE}ErrorInfo", "reason": error.code.upper(), "domain": "hoosh"},
        {"@type": f"{_TYPE}RequestInfo", "requestId": request_id},
    ]
    if error.param:
        violation = {"field": error.param, "description": error.message}
        details.append({"@type": f"{_TYPE}BadRequest", "fieldViolations": [violation]})
    if error.retry_after_s is not None:
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{error.retry_after_s:g}s"})
    said = {"code": error.status, "message": error.message, "status": status, "details": details}
    return one_line(_encode({"error": said}))
