"""What to try next. The engine runs it: `attempt = plan.send(error)`."""

from collections.abc import Callable, Generator

from hoosh.core.errors import CircuitOpen, UpstreamError
from hoosh.core.plan import Attempt, Plan

# Nobody waits for one provider while another could answer.
PATIENCE_S = 1.0


def attempts(plan: Plan, draw: Callable[[], float], made: int = 0) -> Generator[Attempt, UpstreamError, None]:
    """Yield attempts; send how the last one failed. Ends when nothing more may be tried.

    A target is tried again only after "retry", at most `plan.tries` times, and never sooner than the provider asked;
    one that asks for longer than PATIENCE_S is left for the next target, the last for longer than `plan.max_s`. After
    "wider" only a target of `plan.wider` is, after "content" any other, if the plan has it so. `draw` gives numbers
    from [0, 1): half of each wait is by chance, so that calls that failed together do not come back together. `made`
    attempts count already. Where there was a choice, those that are left alone (`plan.last`, or since) are asked in the
    end, once.
    """
    n = made
    only_wider = False
    queue = [(target, False) for target in plan.targets] + [(target, True) for target in plan.last]
    has_choice = len({target.provider for target, _ in queue}) > 1
    for target, anyhow in queue:
        if only_wider and target not in plan.wider:
            continue
        delay_s = 0.0
        for k in range(1 if anyhow else plan.tries):
            if n == plan.attempts:
                return
            n += 1
            error = yield Attempt(n, target, delay_s, anyhow)
            if error.verdict == "stop" or (error.verdict == "content" and not plan.on_content):
                return
            if isinstance(error, CircuitOpen) and has_choice and not anyhow:
                queue.append((target, True))
                break
            only_wider = only_wider or error.verdict == "wider"
            if error.verdict != "retry":
                break
            backoff_s = min(plan.base_s * 2.0**k, plan.max_s) * (0.5 + 0.5 * draw())
            delay_s = max(backoff_s, error.retry_after_s or 0.0)
            asked_s = error.retry_after_s or 0.0
            if delay_s > plan.max_s or (asked_s > PATIENCE_S and target != plan.end):
                break
