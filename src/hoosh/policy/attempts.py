"""What to try next. The engine runs it: `attempt = plan.send(error)`."""

from collections.abc import Generator

from hoosh.core.errors import UpstreamError
from hoosh.core.plan import Attempt, Plan


def attempts(plan: Plan) -> Generator[Attempt, UpstreamError, None]:
    """Yield attempts; send how the last one failed. Ends when nothing more may be tried.

    A target is tried again only after "retry", at most `plan.tries` times, and never sooner than the provider
    asked; a provider that asks for longer than `plan.max_s` is left for the next target.
    """
    n = 0
    for target in plan.targets:
        delay_s = 0.0
        for k in range(plan.tries):
            if n == plan.attempts:
                return
            n += 1
            error = yield Attempt(n, target, delay_s)
            if error.verdict == "stop":
                return
            if error.verdict == "next":
                break
            delay_s = max(min(plan.base_s * 2.0**k, plan.max_s), error.retry_after_s or 0.0)
            if delay_s > plan.max_s:
                break
